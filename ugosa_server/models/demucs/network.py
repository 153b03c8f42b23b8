"""demucs 4's networks (htdemucs, htdemucs_ft, hdemucs_mmi, htdemucs_6s ...) as networks that can be adapted.

The package `demucs` builds them; the weights lie in a checkpoint of the server, which `read_demucs_repo`
makes from a folder of demucs' own files. The sizes, and what each depth trains, are in
`models.demucs.config`.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from demucs import pretrained
from demucs.apply import BagOfModels
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.repo import AnyModelRepo, BagOnlyRepo, LocalRepo, ModelLoadingError
from demucs.states import load_model
from torch import Tensor, nn

from ugosa_server.errors import CheckpointError
from ugosa_server.models.checkpoint_header import NAME_DIGITS, require_sha256
from ugosa_server.models.demucs.config import DemucsConfig, DemucsMember
from ugosa_server.models.legacy import read_legacy_pickle
from ugosa_server.models.network import SeparationNetwork

CHUNK_OVERLAP = 0.25  # of a segment, as in demucs
MIN_SAMPLES = 8192  # shorter mixes are padded to it: the STFT and the strides need some audio
KINDS = {"HTDemucs": HTDemucs, "HDemucs": HDemucs}
CLASSES = {f"{kind.__module__}.{name}": kind for name, kind in KINDS.items()}


class DemucsNetwork(SeparationNetwork):
    """A bag of demucs networks: the mean of their stems, weighted source by source."""

    config: DemucsConfig

    def __init__(self, config: DemucsConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList([_build_member(member) for member in config.members])
        shares = torch.tensor([member.weights for member in config.members])
        self.source_weights: Tensor  # [M, S]
        self.register_buffer("source_weights", shares / shares.sum(dim=0), persistent=False)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""
        stems = [
            weights[:, None, None] * self._separate_with(network, member, mix)
            for weights, network, member in zip(
                self.source_weights, self.members, self.config.members, strict=True
            )
        ]
        return torch.stack(stems).sum(dim=0)

    def _separate_with(self, network: nn.Module, member: DemucsMember, mix: Tensor) -> Tensor:
        """Separate with one member, in overlapping chunks if the mix is too long for it: -> [B, S, C, T]."""
        longest = int(Fraction(member.segment) * self.config.sample_rate_hz)
        if mix.shape[-1] <= longest:
            # A transformer was trained on one length only, and is best given that (demucs' apply_model).
            return _padded(network, mix, longest if member.kind == "HTDemucs" else MIN_SAMPLES)
        last = mix.shape[-1] - longest
        starts = [*range(0, last, int((1 - CHUNK_OVERLAP) * longest)), last]
        rising = torch.arange(1, longest + 1, device=mix.device)
        weights = torch.minimum(rising, rising.flip(0)) / rising[-1]  # a triangle, [longest]
        total = mix.new_zeros(len(mix), len(self.config.sources), *mix.shape[1:])  # [B, S, C, T]
        total_weight = mix.new_zeros(mix.shape[-1])
        for start in starts:
            around = (start, last - start)
            chunk: Tensor = network(mix[..., start : start + longest])  # [B, S, C, longest]
            total = total + F.pad(weights * chunk, around)
            total_weight = total_weight + F.pad(weights, around)
        return total / total_weight


def _build_member(member: DemucsMember) -> nn.Module:
    arguments: dict[str, Any] = dict(member.arguments) | {"segment": Fraction(member.segment)}
    network: nn.Module = KINDS[member.kind](**arguments)
    if isinstance(network, HTDemucs):
        network.use_train_segment = False  # padding is `_padded`'s, so that a step has the same length, too
        if network.crosstransformer is not None:
            network.crosstransformer.sin_random_shift = 0  # the same mix, the same stems
    return network


def _padded(network: nn.Module, mix: Tensor, n_samples: int) -> Tensor:
    """Separate a mix with silence around it up to `n_samples`, and cut that off again."""
    missing = max(0, n_samples - mix.shape[-1])
    before = missing // 2
    stems: Tensor = network(F.pad(mix, (before, missing - before)))
    return stems[..., before : before + mix.shape[-1]]


class _DataRepo(LocalRepo):  # type: ignore[misc]
    """A folder of demucs' single networks, read without unpickling any class."""

    def get_model(self, sig: str) -> nn.Module:
        """Build the network of a file and give it the file's weights."""
        path = self._models.get(sig)
        if path is None:
            raise CheckpointError(f"there is no file {sig}*.th in {self.root}")
        if sig not in self._checksums:
            raise CheckpointError(f"{path} does not say its sha256 in its name, like {sig}-0123abcd.th")
        require_sha256(path, self._checksums[sig], NAME_DIGITS)
        package = read_legacy_pickle(path, tuple(CLASSES))
        if not isinstance(package, dict) or not {"klass", "args", "kwargs", "state"} <= set(package):
            raise CheckpointError(f"{path} is not a demucs model: it has no klass, args, kwargs and state")
        if package["state"].get("__quantized"):
            raise CheckpointError(f"{path} is a quantised model (a name with _q), which cannot be fine-tuned")
        klass = CLASSES.get(getattr(package["klass"], "full_name", ""))
        if klass is None:
            raise CheckpointError(f"{path} names no network of {', '.join(CLASSES)}")
        network: nn.Module = load_model(package | {"klass": klass})
        return network


def read_demucs_repo(folder: Path, name: str) -> tuple[DemucsConfig, dict[str, Tensor]]:
    """Read a model (its signature) or a bag of models from a local repository of demucs: sizes and weights.

    The folder holds `SIGNATURE-CHECKSUM.th` files and, for bags, `NAME.yaml`, as demucs publishes them.
    """
    models = _DataRepo(folder)
    try:
        found = AnyModelRepo(models, BagOnlyRepo(folder, models)).get_model(name)
    except ModelLoadingError as error:
        raise CheckpointError(f"cannot read {name} from {folder}: {error}") from error
    except (RuntimeError, TypeError, AssertionError) as error:
        raise CheckpointError(f"{name} in {folder} is not what it says it is: {error}") from error
    bag = found if isinstance(found, BagOfModels) else BagOfModels([found])
    config = DemucsConfig(
        sources=tuple(bag.sources),
        audio_channels=bag.audio_channels,
        sample_rate_hz=bag.samplerate,
        members=tuple(
            _describe(network, weights) for network, weights in zip(bag.models, bag.weights, strict=True)
        ),
    )
    state = {
        f"members.{i}.{key}": tensor
        for i, network in enumerate(bag.models)
        for key, tensor in network.state_dict().items()
    }
    return config, state


def copy_bag(name: str, folder: Path) -> None:
    """Copy demucs' own description of a published bag to the folder of its files."""
    shutil.copy(pretrained.REMOTE_ROOT / f"{name}.yaml", folder)


def _describe(network: Any, weights: list[float]) -> DemucsMember:
    """Describe a network so that `_build_member` builds the same one."""
    args, kwargs = network._init_args_kwargs  # recorded by demucs' own decorator
    arguments: Mapping[str, Any] = inspect.signature(type(network)).bind(*args, **kwargs).arguments
    return DemucsMember(
        kind=type(network).__name__,
        arguments={key: value for key, value in arguments.items() if key != "segment"},
        segment=str(Fraction(network.segment)),  # a bag may have shortened it
        weights=tuple(float(weight) for weight in weights),
        shapes={key: tuple(parameter.shape) for key, parameter in network.named_parameters()},
    )
