"""Default engine: one resident worker process on this machine."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import msgspec

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import (
    AskRun,
    Heartbeat,
    Message,
    RunKey,
    Wish,
    WorkerReady,
    WorkerRefused,
    decode_line,
    encode_line,
)
from ugosa_server.engines.worker import Worker, WorkerEngine, WorkerRun
from ugosa_server.jobs import RunEvent, RunSpec
from ugosa_server.supervision import end, keep_running

START_TIMEOUT_S = 180.0  # for imports and for making the model resident
LINE_LIMIT_BYTES = 4 * 1024 * 1024

log = logging.getLogger(__name__)


def worker_command(settings: WorkerSettings, preload: str) -> list[str]:
    """Return the command of a worker process with the checkpoint `preload` resident."""
    settings_json = msgspec.json.encode(settings).decode()
    options = [f"--settings={settings_json}", f"--preload={preload}"]
    return [sys.executable, "-m", "ugosa_server.pipeline", *options]


class LocalWorker(Worker):
    """A worker process, kept alive."""

    def __init__(self, settings: WorkerSettings, preload: str, changed: Callable[[], None]) -> None:
        super().__init__("process", START_TIMEOUT_S, changed)
        self._settings, self._preload = settings, preload
        self._process: Process | None = None
        self._reader: asyncio.Task[str] | None = None
        self._answer: asyncio.Future[WorkerReady | WorkerRefused]

    async def _start(self) -> WorkerReady | WorkerRefused | None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *worker_command(self._settings, self._preload),
                stdin=PIPE,
                stdout=PIPE,
                limit=LINE_LIMIT_BYTES,
                start_new_session=True,  # Ctrl-C in a terminal is for the front process, which drains
            )
        except OSError as error:  # no room for one now: memory, tasks or descriptors
            log.error("the system starts no worker process: %s", error)
            return None
        log.info("worker %d started", self._process.pid)
        self._answer = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(self._process), name=f"worker-{self._process.pid}")
        waits: set[asyncio.Future[Any]] = {self._answer, self._reader}
        await asyncio.wait(waits, timeout=self._start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        answer = self._answer.result() if self._answer.done() else None
        if not isinstance(answer, WorkerReady):
            await self.stop()
        return answer

    async def _live(self) -> str:
        assert self._reader is not None
        await asyncio.wait({self._reader})
        return self._reader.result()

    def _begin(self, run: WorkerRun) -> None:
        self._send(run.spec)

    def ask(self, spec: RunSpec, wish: Wish) -> None:
        """See Worker.ask."""
        self._send(AskRun(spec.job_id, spec.attempt, wish))

    def end(self, reason: str) -> None:
        """See Worker.end."""
        if self._process is not None and self._process.returncode is None:
            log.info("worker %d is killed: it %s", self._process.pid, reason)
            self._process.kill()

    async def stop(self) -> None:
        """Kill the process, if there is one, and wait for its end."""
        self.end("was closed")
        if self._reader is not None:
            await asyncio.wait({self._reader})

    def _send(self, message: Message) -> None:
        """Write a command; a worker that is gone is noticed by the reader."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is None:
            self._process.stdin.write(encode_line(message))

    async def _read(self, process: Process) -> str:
        """Take the messages of a process to its end; return what became of it."""
        reason = "ended"
        timeout_s = self._settings.heartbeat_timeout_s
        assert process.stdout is not None
        try:
            while line := await asyncio.wait_for(process.stdout.readline(), timeout_s):
                self._heed(*decode_line(line))
        except TimeoutError:
            reason = f"sent nothing for {timeout_s:.0f} s"
        except (msgspec.DecodeError, ValueError):
            log.exception("worker %d sent a line that is no message", process.pid)
            reason = "sent a line that is no message"
        except Exception:  # whatever it is, a worker that is not read must not look alive
            log.exception("worker %d cannot be read", process.pid)
            reason = "could not be read"
        if reason != "ended" and process.returncode is None:
            process.kill()
        status = await process.wait()
        log.info("worker %d %s, exit status %d", process.pid, reason, status)
        return f"{reason} (exit status {status})"

    def _heed(self, message: Message, run: RunKey | None) -> None:
        match message:
            case WorkerReady() | WorkerRefused():
                self._answer.set_result(message)
            case Heartbeat(gpu_memory_bytes):
                self.gpu_memory_bytes = gpu_memory_bytes
            case _ if isinstance(message, RunEvent):
                # An earlier run, which no one reads any more, may still be ending.
                if self.current is not None and run == (self.current.spec.job_id, self.current.spec.attempt):
                    self._take(self.current, message)


class LocalEngine(WorkerEngine):
    """Keeps one worker process alive and runs one job at a time on it."""

    def __init__(self, settings: WorkerSettings, preload: str) -> None:
        """Begin to start the worker, whose checkpoint `preload` is resident before the first job."""
        super().__init__(START_TIMEOUT_S)
        self._worker = LocalWorker(settings, preload, self._changed.set)
        self.workers = [self._worker]
        self._keeper = keep_running(self._worker.keep(), "engine")

    async def close(self) -> None:
        """See Engine.close."""
        await end(self._keeper)
        await self._worker.stop()
