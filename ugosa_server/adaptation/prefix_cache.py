"""Cache of the frozen prefix, whose features of a segment are the same in all epochs.

With P-L3 on the published network that is the encoder and three of four repeats, 18 MB for four seconds.
Features are kept on the GPU, then in main memory, then on disk, within a budget each, first come, first kept
(every epoch visits every segment once, so no other rule keeps more); segments beyond the budgets are computed
again. They are kept as they are, in float32: kept or not, the numbers are bit for bit the same. A network
that cannot be split there runs whole every time.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ugosa_server.config import GIB, WorkerSettings
from ugosa_server.models import Depth
from ugosa_server.models.network import MaskNetwork, SeparationNetwork

GPU_SHARE = 0.5  # of the memory that is free on a GPU when an adaptation begins
DISK_RESERVE_BYTES = GIB  # free space that is left alone, whatever the budget

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheBudget:
    """Bytes of the frozen part's output that one adaptation may keep."""

    memory_bytes: int = WorkerSettings.prefix_cache_bytes
    """In main memory."""
    disk_bytes: int = 0
    """On disk, beyond that."""
    folder: Path | None = None
    """Where; the file has no name and is gone when the process is. None = no disk."""


class PrefixCache:
    """Runs a network in two parts: the frozen prefix without gradient, once; then the rest.

    A context: its end frees what was kept, and what the network kept from step to step.
    """

    def __init__(self, network: SeparationNetwork, depth: Depth, budget: CacheBudget) -> None:
        """Keep features of `network` fine-tuned at `depth`."""
        self._network = network
        self._depth = depth
        self._kept: dict[Hashable, _Load] = {}
        self._tiers: list[_Tier] = []
        device = next(network.parameters()).device
        if device.type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(device)
            self._tiers.append(_MemoryTier(int(GPU_SHARE * free_bytes), device))
        self._tiers.append(
            _MemoryTier(budget.memory_bytes, torch.device("cpu"), pinned=device.type == "cuda")
        )
        if budget.folder is not None and budget.disk_bytes > 0:
            self._tiers.append(_DiskTier(budget.disk_bytes, budget.folder))

    def __enter__(self) -> PrefixCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.clear()
        for tier in self._tiers:
            tier.close()
        self._network.release_memory()

    @property
    def kept_bytes(self) -> list[int]:
        """Bytes that each tier holds."""
        return [tier.kept_bytes for tier in self._tiers]

    def separate(
        self, mixes: list[Tensor], keys: Sequence[Hashable], activity: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Separate segments with gradient: B mixes [C, T], each known by its key -> [B, S, C, T].

        A network of masks is conditioned on h [B, S, T], or on a context [B, *context_shape], and runs whole.

        The prefix runs segment by segment whatever the batch, so a kept result is the one that would be
        computed.
        """
        if isinstance(self._network, MaskNetwork):
            return self._network.forward(torch.stack(mixes), activity, context)
        parts = [self._prefix(mix, key) for mix, key in zip(mixes, keys, strict=True)]
        frozen = [torch.cat(features) for features in zip(*parts, strict=True)]
        return self._network.trained_part(torch.stack(mixes), frozen, self._depth)

    def _prefix(self, mix: Tensor, key: Hashable) -> list[Tensor]:
        """Features of one segment, [1, ...] each; none = the network has no frozen part."""
        load = self._kept.get(key)
        if load is not None:
            return [feature.to(mix.device, non_blocking=True) for feature in load()]
        with torch.no_grad():
            features = self._network.frozen_part(mix.unsqueeze(0), self._depth)
        for tier in self._tiers if features else ():
            load = tier.keep(features)
            if load is not None:
                self._kept[key] = load
                break
        return features


_Load = Callable[[], list[Tensor]]
"""Returns the kept features."""


class _Tier(Protocol):
    kept_bytes: int

    def keep(self, features: list[Tensor]) -> _Load | None:
        """Keep the features and return their loader; None = there is no room."""

    def close(self) -> None:
        """Free everything."""


class _MemoryTier:
    """Tensors on a device."""

    def __init__(self, budget_bytes: int, device: torch.device, *, pinned: bool = False) -> None:
        self._budget_bytes = budget_bytes
        self._device = device
        self._pinned = pinned  # a GPU reads such memory while the step before it still runs
        self.kept_bytes = 0

    def keep(self, features: list[Tensor]) -> _Load | None:
        n_bytes = sum(feature.nbytes for feature in features)
        if self.kept_bytes + n_bytes > self._budget_bytes:
            return None
        self.kept_bytes += n_bytes
        kept = [feature.to(self._device) for feature in features]
        if self._pinned:
            kept = [feature.pin_memory() for feature in kept]
        return lambda: kept

    def close(self) -> None:
        self.kept_bytes = 0


class _DiskTier:
    """One file without a name, which ends with the process however that ends."""

    def __init__(self, budget_bytes: int, folder: Path) -> None:
        self._budget_bytes = budget_bytes
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.kept_bytes = 0

    def keep(self, features: list[Tensor]) -> _Load | None:
        n_bytes, offset = sum(feature.nbytes for feature in features), self.kept_bytes
        layouts = []
        room_bytes = min(
            self._budget_bytes - offset, shutil.disk_usage(self._folder).free - DISK_RESERVE_BYTES
        )
        if n_bytes > room_bytes:
            return None
        try:
            self._file.seek(offset)
            for feature in features:
                dense = torch.empty_like(feature, device="cpu").copy_(feature)
                layouts.append((dense.shape, dense.stride()))
                self._file.write(_memory_of(dense))
            self._file.flush()
        except OSError as error:
            log.warning("features cannot be kept in %s and are computed again: %s", self._folder, error)
            self._budget_bytes = 0
            return None
        self.kept_bytes += n_bytes
        return lambda: self._read(offset, layouts)

    def _read(self, offset: int, layouts: list[tuple[torch.Size, tuple[int, ...]]]) -> list[Tensor]:
        features = [torch.empty_strided(*layout) for layout in layouts]
        self._file.seek(offset)
        for feature in features:
            self._file.readinto(_memory_of(feature))
        return features

    def close(self) -> None:
        with suppress(OSError):  # what a full disk did not take is written, and refused, once more
            self._file.close()
        self.kept_bytes = 0


def _memory_of(tensor: Tensor) -> memoryview:
    """Numbers of a dense tensor on the CPU, in the order in which they lie."""
    return tensor.as_strided((tensor.numel(),), (1,)).numpy().data
