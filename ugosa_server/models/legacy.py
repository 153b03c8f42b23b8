"""Read older, pickled checkpoints as data: no class is looked up, and nothing that a file names is called.

`torch.load(weights_only=True)` runs a reader of its own that knows tensors, numbers, strings and containers,
and refuses every other name in the file. The older layouts name a few more things, which are replaced here:

- the network's class, by a `ClassReference`, which only knows its name: a file that tries to make one, or to
  give one a state, is refused;
- the command line that demucs 2 keeps, an `argparse.Namespace` with paths in it, by `Discarded` objects,
  which drop whatever they are given;
- exact fractions (the segment length of Hybrid Transformer Demucs), by `small_fraction`.

demucs' ConvTasNet comes in three layouts:

| layout | content of the file |
|---|---|
| published weights (demucs 2 and 3) | the state dict alone |
| demucs 1 | a tuple (class, args, kwargs, state) |
| demucs 2's own training | a dict with klass, args, kwargs, state, training_args |

Sizes are taken from the shapes of the tensors, which cannot be wrong, whatever the arguments say; only names
of sources and the sample rate come from there. The last two layouts name a class, so their file is opened
only if the caller knows its sha256.
"""

from __future__ import annotations

import io
import pickle
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.models.checkpoint_header import require_sha256
from ugosa_server.models.checkpoints import require_weights
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig

COMMAND_LINE_CLASSES = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.Path",
    "pathlib._local.PosixPath",  # Python 3.13
    "pathlib._local.WindowsPath",
)
CLASS_NAMES = ("demucs.tasnet.ConvTasNet",)
PUBLISHED = ConvTasNetConfig()
ONLY_VARIANT = {"norm_type": "gLN", "causal": False, "mask_nonlinear": "relu"}
"""Arguments of the published network; a checkpoint of another variant has the same names and shapes."""

READER_ERRORS = (
    RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
"""Raised by torch's reader in broken files."""

SMALL_FRACTION = re.compile(r"(-?[0-9]{1,18})(?:/([1-9][0-9]{0,17}))?")
_BLOCK = re.compile(r"separator\.network\.2\.(\d{1,4})\.(\d{1,4})\.")
_CLASS_WITH_SOURCE = re.compile(rb"\(X\x06\0\0\0moduleq.(c[^\n]{1,200}\n[^\n]{1,200}\nq.)(?=X)", re.DOTALL)
"""The beginning of a class in a file of torch before 1.6; the group is the class alone."""


class ClassReference:
    """The name of a class in a pickle. Each name gets a subclass of its own, which cannot be instantiated."""

    full_name = ""

    def __new__(cls, *args: object, **kwargs: object) -> NoReturn:  # noqa: D102
        raise pickle.UnpicklingError(f"the file tries to make an object of {cls.full_name}")


class Discarded:
    """Placeholder of an object that nobody needs; keeps nothing of what it is made from."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def small_fraction(*parts: object) -> Fraction:
    """Return the fraction that a file of demucs 4 holds, such as 39/5; its words could ask for gigabytes."""
    words = [str(p) if isinstance(p, int) and abs(p) < 10**18 else p for p in parts]
    match = SMALL_FRACTION.fullmatch("/".join(word[:50] if isinstance(word, str) else "?" for word in words))
    if match is None:
        raise pickle.UnpicklingError("a fraction that is none of two integers of at most 18 digits")
    return Fraction(int(match[1]), int(match[2] or 1))


def read_legacy_pickle(path: Path, class_names: Iterable[str] = ()) -> Any:
    """Read a file of `torch.save`, in its zip format or the one before torch 1.6.

    It may name the classes of `class_names`, each of which is read as a `ClassReference`.

    Raises:
        CheckpointError: the file is missing, is no such file, or names anything else.
    """
    known: list[Any] = [
        *((type("ClassReference", (ClassReference,), {"full_name": name}), name) for name in class_names),
        *((Discarded, name) for name in COMMAND_LINE_CLASSES),
        (small_fraction, "fractions.Fraction"),
    ]
    try:
        is_zip = zipfile.is_zipfile(path)
        file = path if is_zip else io.BytesIO(_without_class_sources(path.read_bytes()))
        with torch.serialization.safe_globals(known):
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file {path}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is refused and nothing in it was run: {_reason(error)}") from error
    except READER_ERRORS as error:
        raise CheckpointError(f"{path} is not a readable checkpoint of torch: {error}") from error


def _without_class_sources(data: bytes) -> bytes:
    """Make a file of torch before 1.6 readable with `weights_only`, and change nothing else.

    There a network's class is a persistent id made of the tuple ("module", class, name of its source file,
    source text), which torch's reader refuses. Only the class is left.
    """
    found = _CLASS_WITH_SOURCE.search(data)
    if found is None:
        return data
    end = found.end()
    for _ in ("name of its source file", "source text"):  # each is X, length, text, q, number
        end += 5 + int.from_bytes(data[end + 1 : end + 5], "little") + 2
    return data[: found.start()] + found[1] + data[end + len("tq#Q") :]


def _reason(error: Exception) -> str:
    """Message of torch's reader, without its advice to trust the file or to read the manual."""
    *paragraphs, _manual = str(error).split("\n\n")
    reason = (paragraphs or [str(error)])[-1].rpartition("WeightsUnpickler error:")[2]
    return " ".join(reason.partition(" was not an allowed global")[0].split())


def read_legacy_checkpoint(
    path: Path, sha256: str | None = None, sources: Sequence[str] | None = None
) -> tuple[ConvTasNetConfig, dict[str, Tensor]]:
    """Read a ConvTasNet of demucs, in any of the three layouts, as sizes and a state dict.

    Args:
        path: the file, usually `*.th`.
        sha256: hex digits that its hash must begin with; needed for the layouts that name a class.
        sources: names of the outputs; None = those in the file, else those of the published network.
    """
    if sha256 is not None:
        require_sha256(path, sha256)
    try:
        content = read_legacy_pickle(path, CLASS_NAMES if sha256 is not None else ())
    except CheckpointError as error:
        if sha256 is not None:
            raise
        raise CheckpointError(
            f"{error.message}. (A checkpoint that names its network's class is opened only if you say "
            "its sha256, as published by whom you have it from.)"
        ) from error
    args, kwargs, state = _parts(content, path)
    config = _config(args, kwargs, state, sources, path)
    require_weights(path, state, config, "ConvTasNet of demucs")
    return config, state


def _parts(content: Any, path: Path) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Tensor]]:
    """Return arguments and state dict of any layout."""
    match content:
        case {"klass": klass, "args": args, "kwargs": kwargs, "state": state} | [klass, args, kwargs, state]:
            pass
        case _:
            klass, args, kwargs, state = ClassReference, (), {}, content
    if not (isinstance(klass, type) and issubclass(klass, ClassReference)):
        raise CheckpointError(f"{path} should name the class of its network, but has {klass!r} there")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not is_state_dict(state):
        raise CheckpointError(f"{path} holds no weights of a network in any of the known layouts")
    return tuple(args), kwargs, dict(state)


def is_state_dict(state: Any) -> bool:
    """Return whether the content of a file is tensors by name."""
    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())
    )


def _config(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    state: Mapping[str, Tensor],
    sources: Sequence[str] | None,
    path: Path,
) -> ConvTasNetConfig:
    """Read sizes from the shapes of the tensors, names and rate from the arguments."""
    for name, only in ONLY_VARIANT.items():
        if kwargs.get(name, only) != only:
            raise CheckpointError(f"{path} has {name}={kwargs[name]!r}; only {only!r} is supported")
    named, sizes = (args[0], args[1:]) if args and isinstance(args[0], list | tuple) else (None, args)
    if any(type(size) is not int for size in sizes):
        raise CheckpointError(f"{path} was made with arguments {sizes!r}; only sizes are understood there")
    try:
        n, c, length = state["encoder.conv1d_U.weight"].shape
        b, _, _ = state["separator.network.1.weight"].shape
        h, _, _ = state["separator.network.2.0.0.net.0.weight"].shape
        _, _, p = state["separator.network.2.0.0.net.3.net.0.weight"].shape
        n_masks, _, _ = state["separator.network.3.weight"].shape
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} holds no ConvTasNet of demucs: {error} is missing or odd") from error
    blocks = [(int(match[1]), int(match[2])) for match in map(_BLOCK.match, state) if match]
    n_sources = n_masks // n
    names = sources or kwargs.get("sources") or named
    if names is None and n_sources == len(PUBLISHED.sources):
        names = PUBLISHED.sources
    if names is None or len(names) != n_sources or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"{path} has {n_sources} sources, but their names are {names}; say them in order"
        )
    try:
        return ConvTasNetConfig(
            sources=tuple(names),
            audio_channels=c,
            sample_rate_hz=int(kwargs.get("samplerate", PUBLISHED.sample_rate_hz)),
            encoder_filters=n,
            encoder_length=length,
            bottleneck_channels=b,
            block_channels=h,
            kernel_size=p,
            blocks_per_repeat=1 + max(x for _, x in blocks),
            repeats=1 + max(r for r, _ in blocks),
        )
    except (BadOptionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds sizes that cannot work: {error}") from error
