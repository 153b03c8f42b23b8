"""`ugosa-server doctor`: checks of the machine, the configuration and the models.

Every check reports a finding; one that fails names the remedy. The last one is the product itself: a real
server process in a temporary folder separates one second of noise, and the stems are measured.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw
import grpc
import numpy as np
import soundfile

from ugosa_server import __version__
from ugosa_server.addresses import TcpAddress, checked_addresses, lock_file, tls_files
from ugosa_server.audio.formats import amplitude
from ugosa_server.config import ServerConfig
from ugosa_server.errors import ConfigError, UgosaError
from ugosa_server.files import expanded, make_state_dir
from ugosa_server.jobs.retention import check_state_dir
from ugosa_server.jobs.store import STORE_FILE_NAME, Store
from ugosa_server.marks.validate import SILENCE_DBFS
from ugosa_server.models import ModelInfo, ModelRegistry
from ugosa_server.private_server import ServerProcess
from ugosa_server.rpc import separate_once, server_credentials

SELF_TEST_TIMEOUT_S = 300.0
SAFE_SQLITE = (3, 51, 3)  # older ones can lose a commit when the write-ahead log is reset

Findings = Iterator["Finding"]


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    ok: bool
    """True if the server can work so."""
    text: str
    """The finding; when it is not ok, with the remedy."""


def report(findings: Findings, *, as_json: bool) -> int:
    """Print findings as they come; return 0 when all are ok, else 1."""
    status = 0
    for finding in findings:
        if as_json:
            print(json.dumps(asdict(finding), ensure_ascii=False), flush=True)
        else:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.check}: {finding.text}", flush=True)
        status |= not finding.ok
    return status


def examine(config: ServerConfig) -> Findings:
    """Make all checks, quickest first."""
    checks: tuple[tuple[str, Callable[[ServerConfig], str]], ...] = (
        ("versions", _versions),
        ("state directory", _state),
        ("disk", _disk),
        ("addresses", _addresses),
        ("device", _device),
        ("models", _models),
        ("self-test", _self_test),
    )
    for name, check in checks:
        try:
            yield Finding(name, True, check(config))
        except UgosaError as error:
            yield Finding(name, False, error.message)
        except (OSError, RuntimeError, apsw.Error) as error:
            yield Finding(name, False, f"{type(error).__name__}: {error}")


def _versions(config: ServerConfig) -> str:
    import torch

    sqlite = apsw.sqlite_lib_version()
    if tuple(map(int, sqlite.split("."))) < SAFE_SQLITE:
        raise ConfigError(f"SQLite {sqlite} can lose a commit; install apsw of at least 3.51.3")
    return (
        f"ugosa-server {__version__}, Python {platform.python_version()}, torch {torch.__version__},"
        f" gRPC {grpc.__version__}, SQLite {sqlite}, {platform.platform()}"
    )


def _state_dir(config: ServerConfig) -> Path:
    return expanded(config.state_dir).absolute()


def _state(config: ServerConfig) -> str:
    folder = _state_dir(config)
    if not folder.exists():
        return f"{folder} is not there yet; the server makes it"
    make_state_dir(config.state_dir)  # it and the next say why no server could start
    check_state_dir(folder)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{folder} has mode {mode:04o}, so others can look into it: chmod 700 {folder}")
    if not (folder / STORE_FILE_NAME).exists():
        return f"{folder} holds no store yet; the server makes it"
    with contextlib.closing(Store(folder / STORE_FILE_NAME, read_only=True)) as store:
        jobs = sum(store.totals.jobs().values())
    user = "a server uses it now" if _is_locked(folder / "lock") else "no server uses it now"
    return f"{folder} holds the store (jobs: {jobs}); {user}"


def _is_locked(lock: Path) -> bool:
    if not lock.exists():  # taking it would make it
        return False
    try:
        lock_file(lock, "").close()
    except ConfigError:
        return True
    return False


def _disk(config: ServerConfig) -> str:
    folder = _state_dir(config)
    while not folder.exists():
        folder = folder.parent
    free, floor = shutil.disk_usage(folder).free, config.min_free_bytes
    text = f"{free / 1e9:.1f} GB free in {folder}, of which {floor / 1e9:.1f} GB are left alone"
    if free <= floor:
        raise ConfigError(f"{text}: uploads and jobs are refused; free some space")
    return text


def _addresses(config: ServerConfig) -> str:
    tls = tls_files(config.tls_cert, config.tls_key, config.tls_client_ca)
    if tls is not None:
        server_credentials(tls)
    store_path = _state_dir(config) / STORE_FILE_NAME
    has_tokens = False
    if store_path.exists():
        with contextlib.closing(Store(store_path, read_only=True)) as store:
            has_tokens = store.tokens.any_valid()
    findings = []
    for address in checked_addresses(config.listen, tls, has_tokens=has_tokens):
        taken = _answers(address) if isinstance(address, TcpAddress) else _is_locked(address.lock_path)
        findings.append(f"{address.target} is {'in use' if taken else 'free'}")
    return ", ".join(findings)


def _answers(address: TcpAddress) -> bool:
    if not address.port:
        return False
    try:
        with socket.create_connection((address.host, address.port), timeout=2.0):
            return True
    except OSError:
        return False


def _device(config: ServerConfig) -> str:
    import torch

    from ugosa_server.pipeline.resident import ResidentNetworks

    networks = ResidentNetworks(config.worker)
    if networks.device.type == "cuda":
        memory = torch.cuda.get_device_properties(networks.device).total_memory
        return f"{networks.device_name}, {memory / 1e9:.0f} GB"
    if config.device == "cpu":
        why = "device is set to cpu"
    elif torch.version.cuda is None:
        why = f"torch {torch.__version__} was built without CUDA"
    else:
        why = (
            f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU: no driver, or"
            " CUDA_VISIBLE_DEVICES hides it"
        )
    threads = "1 thread" if networks.threads == 1 else f"{networks.threads} threads"
    return f"cpu with {threads}; not CUDA, because {why}"


def _models(config: ServerConfig) -> str:
    from ugosa_server.models.checkpoints import load_checkpoint

    registry = ModelRegistry(Path(folder) for folder in config.model_dirs)
    default = registry.default(config.model)
    load_checkpoint(default.path)
    return "; ".join(
        f"{model.name}{' (default)' if model is default else ''} {_verified(model)}"
        for model in registry.models()
    )


def _verified(model: ModelInfo) -> str:
    note = f"{model.name}.sha256"
    said = f", as in {note}" if model.matches_note() else f"; no {note} records an expected one"
    return f"sha256 {model.sha256[:12]}{said}"


def _self_test(config: ServerConfig) -> str:
    model = ModelRegistry(Path(folder) for folder in config.model_dirs).default(config.model)
    rate_hz, silent = model.sample_rate_hz, model.sources[-1]
    samples = np.random.default_rng(0).integers(-3000, 3000, (rate_hz, 2), dtype=np.int16)
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate_hz, format="WAV", subtype="PCM_16")
    arguments = ["--device", config.device, "--model", model.name, "--threads", str(config.threads)]
    for folder in config.model_dirs:
        arguments += ["--model-dir", folder]
    with tempfile.TemporaryDirectory(prefix="ugosa-doctor-") as state_dir:
        started_s = time.monotonic()
        with ServerProcess(Path(state_dir), arguments) as server:
            server.wait_ready()
            ready_s = time.monotonic()
            files = separate_once(server.target, wav.getvalue(), silent, rate_hz, SELF_TEST_TIMEOUT_S)
            done_s = time.monotonic()
    stems = {name: soundfile.read(io.BytesIO(data), dtype="float64")[0] for name, data in files.items()}
    if sorted(stems) != sorted(model.sources):
        raise RuntimeError(f"the stems are {', '.join(stems)}, not {', '.join(model.sources)}")
    error = float(np.abs(np.sum(list(stems.values()), axis=0) - samples / 2.0**15).max())
    residue = float(np.abs(stems[silent]).max())
    if error > 0 or residue > amplitude(SILENCE_DBFS):
        raise RuntimeError(
            f"the stems miss the mix by {error:.1e}, and {silent}, marked silent, has {residue:.1e}"
        )
    return (
        f"a server was ready after {ready_s - started_s:.1f} s and separated one second in"
        f" {done_s - ready_s:.1f} s; the stems add up to the mix exactly, and {silent}, marked silent, is"
        " silent"
    )
