"""The front process's end of one worker process: its start, its messages, its death."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process

import msgspec

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import (
    AskRun,
    Heartbeat,
    Message,
    RunKey,
    StartRun,
    Wish,
    Worker,
    WorkerReady,
    WorkerRefused,
    WorkerRun,
    decode_line,
    encode_line,
    spends_worker,
)
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs import RunEvent, RunFailed, RunSpec

LINE_LIMIT_BYTES = 4 * 1024 * 1024
TERMINATE_GRACE_S = 2.0

log = logging.getLogger(__name__)


def worker_command(settings: WorkerSettings, preload: str) -> list[str]:
    """Return the command of a worker process with the checkpoint `preload` resident."""
    settings_json = msgspec.json.encode(settings).decode()
    return [
        sys.executable,
        "-m",
        "ugosa_server.pipeline",
        f"--settings={settings_json}",
        f"--preload={preload}",
    ]


class WorkerProcess(Worker):
    """A running worker. `ready` is set when runs can start, `dead` when it has gone for any reason."""

    def __init__(self, process: Process, heartbeat_timeout_s: float) -> None:
        self._process = process
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self.device = ""
        self.refusal: str | None = None
        self.gpu_memory_bytes: int | None = None
        self.ready = asyncio.Event()
        self.dead = asyncio.Event()
        self.current: WorkerRun | None = None
        self._reader = asyncio.create_task(self._read(), name=f"worker-{process.pid}")

    @classmethod
    async def spawn(cls, settings: WorkerSettings, preload: str) -> WorkerProcess:
        """Start a process; it is usable once `ready` is set."""
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
        self.send(StartRun(spec))
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
            self._process.kill()
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError):
            log.exception("worker %d sent a line that is no message", self.pid)
            reason = "sent a line that is no message"
            self._process.kill()
        except Exception:  # whatever it is, a worker that is not read must not look alive
            log.exception("worker %d cannot be read", self.pid)
            reason = "could not be read"
            self._process.kill()
        status = await self._process.wait()
        log.info("worker %d %s, exit status %d", self.pid, reason, status)
        self.dead.set()
        if self.current is not None:
            self.current.put(WorkerLostError(f"the worker process {reason} (exit status {status})"))

    def _take(self, message: Message, run: RunKey | None) -> None:
        match message:
            case WorkerReady(device):
                self.device = device
                self.ready.set()
                log.info("worker %d ready on %s", self.pid, device)
            case Heartbeat(gpu_memory_bytes):
                self.gpu_memory_bytes = gpu_memory_bytes
            case WorkerRefused(reason):
                self.refusal = reason
            case _ if isinstance(message, RunEvent):
                # An earlier run, which no one reads any more, may still be ending.
                if isinstance(message, RunFailed) and spends_worker(message, self.device):
                    self.ready.clear()  # it is about to end: no run must be given to it
                if self.current is not None and run == (self.current.spec.job_id, self.current.spec.attempt):
                    self.current.put(message)
