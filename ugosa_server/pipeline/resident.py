"""Networks that stay loaded in a worker, and its settings: device, threads, determinism."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ugosa_server import __version__
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import BadOptionError, CheckpointError, ConfigError, DeviceMemoryError
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.network import SeparationNetwork, build_network
from ugosa_server.models.registry import ModelInfo, read_model_info
from ugosa_server.pipeline.allocator import keep_freed_memory
from ugosa_server.video.features import PictureEncoder, open_encoder

CPU_NICENESS = 5  # leaves the front process and the DAW their share of a busy machine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResidentNetwork:
    """A network on its device, in evaluation mode, and the facts of its checkpoint."""

    network: SeparationNetwork
    """Has no trainable parameter outside of `adaptation_of`."""
    info: ModelInfo
    """Read from the checkpoint."""

    @property
    def device(self) -> torch.device:
        """Device of the process, or the CPU when that has too little memory."""
        return next(self.network.parameters()).device

    @property
    def on_gpu(self) -> bool:
        """True if it computes on a GPU."""
        return self.device.type == "cuda"

    def move_to_cpu(self) -> None:
        """Compute on the CPU until `ResidentNetworks.load` is asked for it again."""
        self.network.to("cpu")
        torch.cuda.empty_cache()


class ResidentNetworks:
    """Loads every checkpoint once and keeps it on one device.

    Making one sets how the whole process computes: so many threads, and only algorithms that give the same
    result every time, so that the same seed gives the same stems bit for bit.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        """Choose the device.

        Raises:
            ConfigError: there is no such device, or the encoder cannot be used.
        """
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        keep_freed_memory()
        self.device = _find_device(settings.device)
        self.settings = settings
        self._loaded: dict[Path, ResidentNetwork] = {}
        if settings.threads > 0:
            torch.set_num_threads(settings.threads)
        self.gpu_tf32 = settings.gpu_tf32 and self.device.type == "cuda"
        if self.gpu_tf32:
            torch.set_float32_matmul_precision("high")
        # The same as use_deterministic_algorithms(True), which loads torch's compiler for 1.2 s and 74 MB.
        torch.set_deterministic_debug_mode("error")
        torch.backends.cudnn.benchmark = False
        encoder = settings.video_encoder
        self.video_encoder = _open_encoder(encoder, settings.threads) if encoder else None
        # Would write over every new tensor, for code that reads memory before it writes; there is none here.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    @property
    def device_name(self) -> str:
        """Device of the process, for people: "cpu" or "cuda:0 (NVIDIA H200)"."""
        return self.name_of(self.device)

    def name_of(self, device: torch.device) -> str:
        """Name of a device for people."""
        if device.type != "cuda":
            return str(device)
        return f"{device} ({torch.cuda.get_device_name(device)})"

    def machine(self, device: torch.device) -> tuple[str, ...]:
        """Versions, device and threads, which decide how numbers are rounded."""
        return (
            f"ugosa-server {__version__}",
            f"torch {torch.__version__}",
            self.name_of(device),
            torch.backends.cpu.get_cpu_capability(),
            f"{self.threads} threads",
            *(["TF32"] if self.gpu_tf32 and device.type == "cuda" else []),
        )

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Memory that this process has reserved on its GPU; None without one."""
        return None if self.device.type != "cuda" else torch.cuda.memory_reserved(self.device)

    @property
    def threads(self) -> int:
        """CPU threads that torch uses."""
        return torch.get_num_threads()

    def load(self, path: str | Path) -> ResidentNetwork:
        """Give the network of a checkpoint, loading it on first use.

        It is on the device, or on the CPU when the device has no room for it and `cpu_fallback` is set.

        Raises:
            CheckpointError: the file is missing, unreadable, or does not fit its own sizes.
            DeviceMemoryError: the device has no room for it.
        """
        key = Path(path).resolve()
        if key not in self._loaded:
            config, state = load_checkpoint(key)
            network = build_network(config)
            try:
                network.load_state_dict(state)
            except RuntimeError as error:
                why = " ".join(str(error).split())  # torch writes many lines
                raise CheckpointError(f"{key} does not hold the network that it describes: {why}") from error
            network.eval().requires_grad_(False)
            self._loaded[key] = ResidentNetwork(network, read_model_info(key))
        resident = self._loaded[key]
        try:
            resident.network.to(self.device)
        except torch.OutOfMemoryError as error:
            resident.move_to_cpu()
            if not self.settings.cpu_fallback:
                raise DeviceMemoryError(
                    f"{self.device_name} has too little memory for the model {resident.info.name}; free some,"
                    " or set cpu_fallback in the server's configuration"
                ) from error
            log.warning("%s has too little memory for %s: it computes on the CPU", self.device_name, key)
        return resident


def open_networks(settings: WorkerSettings) -> ResidentNetworks:
    """Set up a worker process, which yields to other processes when it computes on the CPU.

    Raises:
        ConfigError: there is no such device, or the encoder cannot be used.
    """
    networks = ResidentNetworks(settings)
    if networks.device.type == "cpu":
        os.nice(CPU_NICENESS)
    return networks


def _open_encoder(text: str, threads: int) -> PictureEncoder:
    try:
        return open_encoder(text, threads)
    except (BadOptionError, CheckpointError) as error:
        raise ConfigError(f"video_encoder: {error.message}") from error


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"there is no device {name!r}; use auto, cpu or cuda:N") from error
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        if device.index >= torch.cuda.device_count():
            raise ConfigError(
                f"device {name!r} is not here: torch {torch.__version__} sees "
                f"{torch.cuda.device_count()} GPUs; use auto or cpu"
            )
    elif device.type != "cpu":
        raise ConfigError(f"device {name!r} is not supported; use auto, cpu or cuda:N")
    return device
