"""The server's configuration: a TOML file, with command-line options on top."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from ugosa_server.errors import ConfigError
from ugosa_server.log import LogFormat

GIB = 1024**3


def default_state_dir() -> Path:
    """Return $XDG_STATE_HOME/ugosa, or ~/.local/state/ugosa."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "ugosa"


def default_listen() -> str:
    """Return this user's Unix socket: $XDG_RUNTIME_DIR/ugosa/ugosa.sock, or in the state directory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "ugosa" if runtime else default_state_dir()
    return f"unix:{folder / 'ugosa.sock'}"


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker, the same for every engine: each worker is given this object whole."""

    device: str = "auto"
    """auto, cpu or cuda:N."""
    cpu_fallback: bool = True
    """Whether a job that the GPU's memory is too little for, even in small pieces, goes on on the CPU; else
    it fails."""
    gpu_tf32: bool = False
    """Whether a GPU may round the factors of matrix products to TF32: faster, three decimal digits."""
    video_encoder: str = ""
    """What makes feature vectors of pictures that jobs bring: "resnet50:FILE" (torchvision's weights) or
    "onnx:FILE"; empty = such jobs are refused. With Ray, the file lies at the same place on every node."""
    threads: int = 0
    """CPU threads of the network; 0 = all cores."""
    prefix_cache_bytes: int = GIB
    """Budget of the frozen-prefix cache in the worker's memory."""
    prefix_cache_disk_bytes: int = 4 * GIB
    """Its budget on disk, in the job's folder, beyond that; 0 = none."""
    heartbeat_timeout_s: float = 30.0
    """A worker that says nothing for so long is taken for hung and replaced."""
    log_format: LogFormat = "plain"
    """Lines for people, or "json": one object a line."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""


@dataclass(frozen=True)
class ServerConfig(WorkerSettings):
    """Everything that can be set; the names are those of the TOML file."""

    listen: tuple[str, ...] = dataclasses.field(default_factory=lambda: (default_listen(),))
    """Addresses: "unix:PATH" or "HOST:PORT"; port 0 takes a free one. Hosts beyond loopback need TLS."""
    tls_cert: str = ""
    """PEM file of the server's certificate and its chain. Set: every HOST:PORT speaks only TLS."""
    tls_key: str = ""
    """PEM file of the certificate's key."""
    tls_client_ca: str = ""
    """PEM file of who issues clients' certificates. Set: clients must have one; its common name is who
    they are."""
    require_token_on_loopback: bool = False
    """Whether a plain loopback port wants a token too. Without it whoever is logged in on this machine can
    use the port as "local"; the Unix socket lets in this user alone in any case."""
    engine: Literal["local", "ray"] = "local"
    """Who runs jobs: one worker process on this machine, or workers on a Ray cluster (docs/ray.md)."""
    ray_address: str = "embedded"
    """HOST:PORT of the cluster's head; "auto": that of this machine's Ray node; "embedded": a cluster of this
    machine alone, which lives and dies with the server."""
    ray_token_file: str = ""
    """The cluster's authentication token; empty = where Ray looks for it. An embedded one gets its own."""
    ray_workers: int = 0
    """Workers; 0 = one for each GPU that the cluster has at the start, or, without any, for each CPU slot."""
    ray_shared_files: Literal["auto", "yes", "no"] = "auto"
    """Whether workers read songs and write stems in state_dir themselves; where not, both are sent."""
    ray_files_dir: str = "~/.cache/ugosa-worker"
    """On the nodes of workers: where songs, videos and models that were sent are kept."""
    ray_files_bytes: int = 20 * GIB
    """What each node keeps of them at most."""
    ray_start_timeout_s: float = 600.0
    """Time for a worker to appear, an autoscaler's start of a machine included."""
    model: str = "starter"
    """The model that jobs get when they name none; resident from the start."""
    model_dirs: tuple[str, ...] = ()
    """Further folders with *.safetensors models."""
    state_dir: str = dataclasses.field(default_factory=lambda: str(default_state_dir()))
    """Where jobs, songs and stems are kept."""
    osc: str = ""
    """HOST:PORT on loopback where OSC commands are taken; empty = none."""
    osc_peers: tuple[str, ...] = ()
    """HOST:PORT of those who get progress by OSC without asking."""
    max_queued: int = 1000
    """Jobs that may wait."""
    max_upload_bytes: int = 16 * GIB
    """Size of one upload as sent."""
    keep_jobs_days: float = 30.0
    """Days after its end that a job is kept, with its stems; 0 = for ever."""
    keep_uploads_days: float = 7.0
    """Days that a song is kept after it was sent and after the last job that needed it; 0 = for ever."""
    min_free_bytes: int = GIB // 2
    """Free disk space that uploads and jobs leave alone."""
    upload_idle_timeout_s: float = 120.0
    """An upload stream that sends nothing for so long is ended; the upload can be taken up again."""
    quota_uploads: int = 10_000
    """Songs that are kept for one principal."""
    quota_stored_bytes: int = 512 * GIB
    """Bytes of songs and stems that are kept for one principal; a job that has not ended counts with all that
    its stems can take."""
    quota_queued_jobs: int = 500
    """Jobs of one principal that may wait."""
    quota_watches: int = 64
    """Watches of one principal at once."""
    quota_upload_streams: int = 16
    """Upload streams of one principal at once."""
    quota_read_streams: int = 64
    """Stems and reports that one principal reads at once."""
    decode_timeout_s: float = 600.0
    """Time for decoding one song."""
    cancel_deadline_s: float = 15.0
    """A cancelled job that has not ended by itself after so long loses its worker process."""
    drain_grace_s: float = 20.0
    """On SIGTERM, time for the running job to end; after it the job goes back to the queue on disk."""
    metrics: str = ""
    """HOST:PORT on loopback where Prometheus can ask; empty = none."""

    @property
    def worker(self) -> WorkerSettings:
        """Return the part that a worker is given."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(WorkerSettings)}
        return WorkerSettings(**shared)


def load_config(path: Path | None, overrides: dict[str, Any]) -> ServerConfig:
    """Return the configuration of a file (if any) with overrides on top.

    Raises:
        ConfigError: the file is unreadable, a name is unknown, or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    known = [field.name for field in dataclasses.fields(ServerConfig)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known names are {', '.join(known)}"
            raise ConfigError(f"{path}: there is no setting {name!r}{hint}")
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        config = msgspec.convert(values, ServerConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'configuration'}: {error}") from error
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise ConfigError(f"{name} is {value}, but must be at least 0")
    if config.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(f"log_level is {config.log_level!r}, but must be DEBUG, INFO, WARNING or ERROR")
    folders = tuple(str(Path(folder).expanduser()) for folder in config.model_dirs)
    return dataclasses.replace(config, model_dirs=folders)
