"""Default engine: one resident worker process on this machine."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import msgspec

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import (
    AskRun,
    EngineHealth,
    Heartbeat,
    Message,
    RunKey,
    Wish,
    Worker,
    WorkerEngine,
    WorkerReady,
    WorkerRefused,
    WorkerRun,
    decode_line,
    encode_line,
    spends_worker,
)
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs import RunEvent, RunFailed, RunSpec
from ugosa_server.supervision import end, keep_running

START_TIMEOUT_S = 180.0  # for imports and for making the model resident
RESPAWN_DELAY_S = 1.0  # doubled after each start that failed, up to RESPAWN_DELAY_MAX_S
RESPAWN_DELAY_MAX_S = 60.0
LINE_LIMIT_BYTES = 4 * 1024 * 1024
TERMINATE_GRACE_S = 2.0

log = logging.getLogger(__name__)


def worker_command(settings: WorkerSettings, preload: str) -> list[str]:
    """Return the command of a worker process with the checkpoint `preload` resident."""
    settings_json = msgspec.json.encode(settings).decode()
    options = [f"--settings={settings_json}", f"--preload={preload}"]
    return [sys.executable, "-m", "ugosa_server.pipeline", *options]


class WorkerProcess(Worker):
    """A running worker. `started` is set once it is ready or dead, `dead` when it has gone for any reason."""

    def __init__(self, process: Process, heartbeat_timeout_s: float) -> None:
        self._process = process
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self.device = ""
        self.refusal: str | None = None
        self.gpu_memory_bytes: int | None = None
        self.ready = False
        self.started = asyncio.Event()
        self.dead = asyncio.Event()
        self.current: WorkerRun | None = None
        self._reader = asyncio.create_task(self._read(), name=f"worker-{process.pid}")

    @classmethod
    async def spawn(cls, settings: WorkerSettings, preload: str) -> WorkerProcess:
        """Start a process."""
        process = await asyncio.create_subprocess_exec(
            *worker_command(settings, preload),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_LIMIT_BYTES,
            start_new_session=True,  # Ctrl-C in a terminal is for the front process, which drains
        )
        log.info("worker %d started", process.pid)
        return cls(process, settings.heartbeat_timeout_s)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Write a command; a worker that is gone is noticed by the reader."""
        assert self._process.stdin is not None
        if not self.dead.is_set():
            self._process.stdin.write(encode_line(message))

    def run(self, spec: RunSpec) -> WorkerRun:
        """See Worker.run; it must also be ready."""
        run = WorkerRun(spec, self)
        self.current = run
        self.send(spec)
        return run

    def ask(self, spec: RunSpec, wish: Wish) -> None:
        """See Worker.ask."""
        self.send(AskRun(spec.job_id, spec.attempt, wish))

    async def end_overdue(self, run: WorkerRun, reason: str) -> None:
        """See Worker.end_overdue: TERM, then KILL."""
        await self.stop(TERMINATE_GRACE_S)

    async def stop(self, grace_s: float) -> None:
        """End the process: TERM, then KILL after `grace_s` seconds."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                self._process.kill()
        await self.dead.wait()

    async def _read(self) -> None:
        reason = "ended"
        assert self._process.stdout is not None
        try:
            while line := await asyncio.wait_for(self._process.stdout.readline(), self._heartbeat_timeout_s):
                self._take(*decode_line(line))
        except TimeoutError:
            reason = f"sent nothing for {self._heartbeat_timeout_s:.0f} s"
        except (msgspec.DecodeError, ValueError):
            log.exception("worker %d sent a line that is no message", self.pid)
            reason = "sent a line that is no message"
        except Exception:  # whatever it is, a worker that is not read must not look alive
            log.exception("worker %d cannot be read", self.pid)
            reason = "could not be read"
        if reason != "ended":
            self._process.kill()
        status = await self._process.wait()
        log.info("worker %d %s, exit status %d", self.pid, reason, status)
        self.ready = False
        self.dead.set()
        self.started.set()
        if self.current is not None:
            self.current.put(WorkerLostError(f"the worker process {reason} (exit status {status})"))

    def _take(self, message: Message, run: RunKey | None) -> None:
        match message:
            case WorkerReady(device):
                self.device, self.ready = device, True
                self.started.set()
                log.info("worker %d ready on %s", self.pid, device)
            case Heartbeat(gpu_memory_bytes):
                self.gpu_memory_bytes = gpu_memory_bytes
            case WorkerRefused(reason):
                self.refusal = reason
            case _ if isinstance(message, RunEvent):
                # An earlier run, which no one reads any more, may still be ending.
                if isinstance(message, RunFailed) and spends_worker(message, self.device):
                    self.ready = False  # it is about to end: no run must be given to it
                if self.current is not None and run == (self.current.spec.job_id, self.current.spec.attempt):
                    self.current.put(message)


class LocalEngine(WorkerEngine):
    """Keeps one worker process alive and runs one job at a time on it."""

    def __init__(self, settings: WorkerSettings, preload: str) -> None:
        """Begin to start the worker, whose checkpoint `preload` is resident before the first job."""
        super().__init__(START_TIMEOUT_S)
        self._settings = settings
        self._preload = preload
        self._worker: WorkerProcess | None = None
        self._was_ready = False
        self._refusal = ""
        self._restarts = 0
        self._keeper = keep_running(self._keep_worker(), "engine")

    @property
    def slots(self) -> int:
        """1: one run on one worker."""
        return 1

    async def health(self) -> EngineHealth:
        """See Engine.health."""
        worker = self._free_worker(None)
        return EngineHealth(
            refusal="" if self._was_ready else self._refusal,
            restarts=self._restarts,
            gpu_memory_bytes=worker.gpu_memory_bytes if worker else None,
            workers_ready=int(worker is not None),
        )

    async def close(self, grace_s: float) -> None:
        """See Engine.close."""
        await end(self._keeper)
        if self._worker is not None:
            await self._worker.stop(grace_s)

    def _free_worker(self, spec: RunSpec | None) -> WorkerProcess | None:
        # One that is ready is free: the scheduler gives one slot one run at a time.
        return self._worker if self._worker and self._worker.ready else None

    async def _keep_worker(self) -> None:
        delay_s = RESPAWN_DELAY_S
        while True:
            self._worker = None
            try:
                self._worker = await WorkerProcess.spawn(self._settings, self._preload)
            except OSError as error:  # no room for one now: memory, tasks or descriptors
                log.error("the system starts no worker process: %s", error)
            if self._worker is not None and await self._became_ready(self._worker):
                delay_s = RESPAWN_DELAY_S
                self._was_ready, self._refusal = True, ""
                self._changed.set()
                await self._worker.dead.wait()
            else:
                self._refusal = (self._worker and self._worker.refusal) or ""
                log.error("the worker did not start; trying again in %.0f s %s", delay_s, self._refusal)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESPAWN_DELAY_MAX_S)
            self._restarts += 1

    async def _became_ready(self, worker: WorkerProcess) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.started.wait(), self._start_timeout_s)
        if not worker.ready:
            await worker.stop(grace_s=1.0)
        return worker.ready
