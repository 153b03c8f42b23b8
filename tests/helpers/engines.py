"""The engines that keep one contract, each with what a test needs to hurt it."""

import asyncio
import hashlib
import os
import signal
import tempfile
import time
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.helpers.faulty_engine import FaultyEngine
from tests.helpers.server import WORKER, command_of
from ugosa_server.config import ServerConfig, WorkerSettings
from ugosa_server.engines import LocalEngine
from ugosa_server.engines.ray import RayEngine
from ugosa_server.jobs.runs import RunPhase, RunProgress, RunSucceeded

PATIENCE_S = 12.0  # until a real worker that says nothing is taken for hung, and not for slow
BY_S = 60.0


async def until(condition, what):
    """Wait for something that becomes true outside of this process."""
    deadline_s = time.monotonic() + BY_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {BY_S:.0f} s"
        await asyncio.sleep(0.02)


class Fake:
    """The engine of `faulty_engine.py`."""

    name = "fake"

    async def start(self, specs, faults=()):
        return FaultyEngine(faults, step_s=0.001)

    async def hang(self, engine):
        engine.runs[-1].hang()

    def processes(self):
        return []


class Local:
    """The worker process on this machine."""

    name = "local"

    async def start(self, specs, faults=()):
        os.environ["UGOSA_FAILPOINT"] = armed(specs.folder, faults)
        try:
            engine = LocalEngine(
                WorkerSettings(
                    device="cpu",
                    prefix_cache_bytes=2**20,
                    threads=1,
                    heartbeat_timeout_s=PATIENCE_S,
                    log_level="WARNING",
                ),
                preload=str(specs.model_path),
            )
            await ready(engine)
        finally:
            if not faults:  # later workers are to have them too
                del os.environ["UGOSA_FAILPOINT"]
        return engine

    async def hang(self, engine):
        (worker,) = self.processes()
        worker.send_signal(signal.SIGSTOP)

    def processes(self):
        # Not recursively: a server of other tests has a worker of its own.
        return [child for child in psutil.Process().children() if WORKER in command_of(child)]


class Ray:
    """One actor of an embedded Ray on this machine; with `shares_files="no"` as if it were elsewhere."""

    name = "ray"

    def __init__(self, shares_files="auto"):
        self._shares_files = shares_files
        if shares_files == "no":
            self.name = "ray, files sent"

    async def start(self, specs, faults=(), workers=1):
        os.environ["UGOSA_FAILPOINT"] = armed(specs.folder, faults)
        try:
            engine = await RayEngine.connect(
                ServerConfig(
                    ray_token_file=str(RAY_TOKEN),
                    ray_workers=workers,
                    ray_shared_files=self._shares_files,
                    ray_files_dir=str(specs.folder / "node"),
                    ray_start_timeout_s=BY_S,
                    device="cpu",
                    prefix_cache_bytes=2**20,
                    heartbeat_timeout_s=PATIENCE_S,
                ),
                state_dir=specs.folder,
                preload=str(specs.model_path),
            )
            await ready(engine)
        finally:
            del os.environ["UGOSA_FAILPOINT"]
        return engine

    async def hang(self, engine):
        (worker,) = self.processes()
        worker.send_signal(signal.SIGSTOP)

    def processes(self):
        return [
            child
            for child in psutil.Process().children(recursive=True)
            if child.name().startswith("ray::UgosaWork") and child.status() != psutil.STATUS_ZOMBIE
        ]


HARNESSES = {"fake": Fake, "local": Local, "ray": Ray, "ray, files sent": lambda: Ray(shares_files="no")}
NO_RAY = pytest.mark.skipif(
    find_spec("ray") is None, reason="the Ray engine is optional: pip install '.[ray]'"
)
EVERY_ENGINE = [
    pytest.param(name, marks=(pytest.mark.ray, NO_RAY) if "ray" in name else ()) for name in HARNESSES
]
# Ray reads its token once in the life of a process.
RAY_TOKEN = Path(tempfile.mkdtemp(prefix="ugosa-tests-")) / "ray-token"


def armed(folder, faults):
    """The environment variable that has a process die at each of these places, once."""
    settings = []
    for number, name in enumerate(faults):
        token = folder / f"fault-{number}"
        token.touch()
        settings.append(f"{name}:1:{token}")
    return ",".join(settings)


async def ready(engine):
    """Wait until a run would start at once."""
    async with asyncio.timeout(BY_S):
        while not (await engine.health()).ready:
            await asyncio.sleep(0.05)


async def all_events(run):
    async with aclosing(run.events()) as events:
        return await read_on(events)


async def run_through(engine, spec):
    return await all_events(await engine.start(spec))


async def reach_adaptation(events):
    async for event in events:
        if isinstance(event, RunProgress) and event.phase is RunPhase.ADAPTATION and event.step > 0:
            return
    raise AssertionError("the run ended before its adaptation")


async def read_on(events):
    return [event async for event in events]


def check_whole(spec, stems):
    for stem in stems:
        content = (Path(spec.out_dir) / stem.file_name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (stem.size_bytes, stem.sha256)


def check_success(spec, events):
    """The files are those that the last event names, whole, and nothing else is unfinished."""
    ending = events[-1]
    assert isinstance(ending, RunSucceeded)
    out_dir = Path(spec.out_dir)
    check_whole(spec, ending.stems)
    for name in (ending.report_json, ending.report_html, ending.levels):
        assert (out_dir / name).stat().st_size > 0
    assert not list(out_dir.glob("*.tmp"))
