"""The server's configuration: a TOML file, with command-line options on top."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from ugosa_server.errors import ConfigError, did_you_mean, reason_of
from ugosa_server.files import expanded, home_dir
from ugosa_server.log import LogFormat

GIB = 1024**3
KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    tuple[str, ...]: 'a list, such as ["..."]',
}
"""Values of a setting by its type."""


def default_state_dir() -> Path:
    """Return $XDG_STATE_HOME/ugosa, or ~/.local/state/ugosa."""
    base = os.environ.get("XDG_STATE_HOME")
    folder = Path(base) if base else home_dir("name a folder with --state-dir") / ".local" / "state"
    return folder / "ugosa"


def default_listen() -> str:
    """Return this user's Unix socket: $XDG_RUNTIME_DIR/ugosa/ugosa.sock, or in the state directory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "ugosa" if runtime else default_state_dir()
    return f"unix:{folder / 'ugosa.sock'}"


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker, the same for every engine: each worker is given this object whole."""

    device: str = "auto"
    """Device of the network: auto (the first GPU, else the CPU), cpu or cuda:N."""
    cpu_fallback: bool = True
    """Continue a job on the CPU when the GPU has too little memory even for small pieces; else it fails."""
    gpu_tf32: bool = False
    """Let a GPU round the factors of matrix products to TF32: faster, three decimal digits."""
    video_encoder: str = ""
    """Encoder of pictures and videos: "resnet50:FILE" (torchvision's weights) or "onnx:FILE"; empty = jobs
    with pictures are refused. With Ray, the file lies at the same place on every node."""
    threads: int = 0
    """CPU threads of the network; 0 = all cores."""
    memory_bytes: int = 0
    """Memory that a worker may hold during a job on the CPU, that of the network included: the job goes on in
    smaller pieces then, and ends where the smallest do not fit. 0 = all that there is. On Linux."""
    prefix_cache_bytes: int = GIB // 8
    """Budget of the frozen-prefix cache in the worker's memory."""
    prefix_cache_disk_bytes: int = 4 * GIB
    """Budget of the frozen-prefix cache on disk, in the job's folder, beyond that in memory; 0 = none."""
    heartbeat_timeout_s: float = 30.0
    """Seconds of silence after which a worker is taken for hung and replaced."""
    log_format: LogFormat = "plain"
    """Format of the log on stderr: "plain" lines, or "json", one object a line."""
    log_level: str = "INFO"
    """Lowest level that is logged: DEBUG, INFO, WARNING or ERROR."""


@dataclass(frozen=True)
class UploadSettings:
    """Settings of uploads."""

    max_upload_bytes: int = 16 * GIB
    """Largest upload, as sent."""
    upload_idle_timeout_s: float = 120.0
    """Seconds without data after which an upload stream is ended; the upload can be resumed."""
    decode_timeout_s: float = 600.0
    """Seconds for decoding one song."""


@dataclass(frozen=True)
class QuotaSettings:
    """Limits of the queue, and of each principal."""

    max_queued: int = 1000
    """Jobs that may wait."""
    quota_uploads: int = 10_000
    """Songs kept for one principal."""
    quota_stored_bytes: int = 512 * GIB
    """Bytes of songs and stems kept for one principal; a job that has not ended counts with all that its
    stems can take. Reports, levels and adapters, far smaller, do not count."""
    quota_queued_jobs: int = 500
    """Jobs of one principal that may wait."""
    quota_watches: int = 64
    """Watches of one principal at once."""
    quota_upload_streams: int = 16
    """Upload streams of one principal at once."""
    quota_read_streams: int = 64
    """Stems and reports read by one principal at once."""


@dataclass(frozen=True)
class RetentionSettings:
    """Times for which jobs and songs are kept."""

    keep_jobs_days: float = 30.0
    """Days that a job is kept after its end, with its stems; 0 = for ever."""
    keep_adapters_days: float = 180.0
    """Days that what a job has learned is kept after its end, a few MB, for further jobs of the song to start
    from; 0 = for ever. At least keep_jobs_days."""
    keep_uploads_days: float = 7.0
    """Days that a song is kept after it was sent and after the last job that needed it; 0 = for ever."""


@dataclass(frozen=True)
class ServerConfig(RetentionSettings, QuotaSettings, UploadSettings, WorkerSettings):
    """Settings of the server: names of the TOML file, flags of `ugosa-server`, and their help.

    Each part of the server takes the whole as the group that it needs.
    """

    listen: tuple[str, ...] = dataclasses.field(default_factory=lambda: (default_listen(),))
    """Addresses: unix:PATH or HOST:PORT; port 0 takes a free one. Hosts beyond loopback need TLS.
    Default: a Unix socket of this user."""
    tls_cert: str = ""
    """PEM file of the server's certificate and its chain. Set: every HOST:PORT speaks only TLS."""
    tls_key: str = ""
    """PEM file of the certificate's key."""
    tls_client_ca: str = ""
    """PEM file of the issuer of clients' certificates. Set: clients must have one; its common name is their
    principal."""
    require_token_on_loopback: bool = False
    """Ask for a token on a plain loopback port too. Without it every user of this machine can use the port as
    "local"; the Unix socket admits only its owner in any case."""
    engine: Literal["local", "ray"] = "local"
    """Engine that runs jobs: local (one worker process on this machine) or ray (workers on a Ray cluster)."""
    ray_address: str = "embedded"
    """Ray cluster: HOST:PORT of its head; "auto", that of this machine's Ray node; "embedded", a cluster of
    this machine alone, which lives and dies with the server."""
    ray_token_file: str = ""
    """Authentication token of the cluster; empty = where Ray looks for it. An embedded one gets its own."""
    ray_workers: int = 0
    """Workers; 0 = one for each GPU of the cluster, or, without GPUs, one for each CPU slot."""
    ray_shared_files: Literal["auto", "yes", "no"] = "auto"
    """yes: workers use the files in state_dir; no: songs and stems are sent; auto: each worker is asked."""
    ray_files_dir: str = "~/.cache/ugosa-worker"
    """Folder on the nodes of workers for songs, videos and models that were sent."""
    ray_files_bytes: int = 20 * GIB
    """Budget of that folder on each node."""
    ray_start_timeout_s: float = 600.0
    """Seconds for a worker to appear, an autoscaler's start of a machine included."""
    model: str = "auto"
    """Model of jobs that name none; resident from the start. auto = `band` where it is, else `starter`."""
    model_dirs: tuple[str, ...] = ()
    """Further folders with *.safetensors models."""
    state_dir: str = dataclasses.field(default_factory=lambda: str(default_state_dir()))
    """Folder of jobs, songs and stems. Default: $XDG_STATE_HOME/ugosa, or ~/.local/state/ugosa."""
    move_unknown: bool = False
    """Move songs and stems that the database does not know to lost+found in state_dir, where they are kept 90
    days; without it the server refuses to start beside them."""
    osc: str = ""
    """HOST:PORT on loopback for OSC commands; empty = none."""
    osc_peers: tuple[str, ...] = ()
    """HOST:PORT of receivers of progress by OSC without a subscription."""
    min_free_bytes: int = GIB // 2
    """Free disk space that uploads and jobs leave alone."""
    cancel_deadline_s: float = 15.0
    """Seconds for a cancelled job to end by itself; after them its worker process is replaced."""
    drain_grace_s: float = 20.0
    """Seconds for the running job to end after SIGTERM; after them it goes back to the queue on disk."""
    exit_when_idle_s: float = 0.0
    """Seconds without a job to run and without a call after which the server ends; 0 = never."""
    metrics: str = ""
    """HOST:PORT on loopback for Prometheus; empty = none."""

    @property
    def worker(self) -> WorkerSettings:
        """Return the part that a worker is given."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(WorkerSettings)}
        return WorkerSettings(**shared)


def settings_help() -> dict[dataclasses.Field[Any], str]:
    """Return the meaning of each setting in one line: the docstring under its field."""
    texts = {}
    for kind in (*ServerConfig.__bases__, ServerConfig):
        (definition,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(doc))):
                    texts[name] = " ".join(doc.split())
    return {field: texts[field.name] for field in dataclasses.fields(ServerConfig)}


def default_text(setting: dataclasses.Field[Any]) -> str:
    """Return the default as TOML writes it; "" for one that is empty, or differs from user to user."""
    if setting.default is dataclasses.MISSING or setting.default in ("", ()):
        return ""
    return json.dumps(setting.default)


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
            raise ConfigError(f"cannot read the configuration {path}: {reason_of(error)}") from error
    known = [field.name for field in dataclasses.fields(ServerConfig)]
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known) or f"known names are {', '.join(known)}"
            raise ConfigError(f"{path}: there is no setting {name!r}; {hint}")
    values |= {name: value for name, value in overrides.items() if value is not None}
    if "state_dir" in values and "listen" not in values:
        try:
            default_listen()
        except ConfigError:  # a user without a home directory
            values["listen"] = [f"unix:{values['state_dir']}/ugosa.sock"]
    try:
        config = msgspec.convert(values, ServerConfig)
    except msgspec.ValidationError as error:
        name = str(error).partition("$.")[2].partition("[")[0].rstrip("`")
        is_now = json.dumps(values[name], default=str)
        raise ConfigError(
            f"{path or 'configuration'}: {name} is {is_now}, but must be {_kind(name)}"
        ) from error
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise ConfigError(f"{name} is {value}, but must be at least 0")
        if name.endswith("_timeout_s") and not value:
            raise ConfigError(f"{name} is {value}, but must be above 0")
    if config.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(f"log_level is {config.log_level!r}, but must be DEBUG, INFO, WARNING or ERROR")
    folders = tuple(str(expanded(folder)) for folder in config.model_dirs)
    return dataclasses.replace(config, model_dirs=folders)


def _kind(name: str) -> str:
    """Return the values that a setting takes, in words."""
    kind = get_type_hints(ServerConfig)[name]
    return KINDS.get(kind) or " or ".join(json.dumps(value) for value in get_args(kind))
