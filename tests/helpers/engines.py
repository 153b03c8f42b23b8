"""The engines that keep one contract, each with what a test needs to hurt it."""

import asyncio
import os
import signal
import time

import psutil

from tests.helpers.faulty_engine import FaultyEngine
from ugosa_server.engine.local import LocalEngine
from ugosa_server.engine.worker_process import WorkerSettings

PATIENCE_S = 6.0  # until a real worker that says nothing is taken for hung
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
                    preload=str(specs.model_path),
                    cache_bytes=2**20,
                    threads=1,
                    heartbeat_timeout_s=PATIENCE_S,
                    log_level="WARNING",
                )
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
        return [
            child
            for child in psutil.Process().children(recursive=True)
            if "ugosa_server.engine.worker" in child.cmdline()
        ]


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
