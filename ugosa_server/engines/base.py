"""Interface between the server and the engines that run its jobs, and the messages to and from workers.

An engine receives paths and ids, writes files, and returns their digests. The server alone owns the store,
retries, attempt numbers and sequence numbers. `engines/local.py` is the default engine; every other one keeps
the same contract. Both of ours keep workers alive (`Worker`), each of which runs one job at a time.

A message between the front process and a worker is one JSON object a line:
`{"kind": "RunProgress", "body": {...}}`. A RunSpec, sent only when no run is in progress, starts its run.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

import msgspec

from ugosa_server.errors import DISK_FULL_MESSAGE, DiskFullError, WorkerLostError, is_disk_full
from ugosa_server.jobs import RunCancelled, RunEnd, RunEvent, RunFailed, RunSpec, RunStep

MACHINE_FAULT = "MACHINE_FAULT"  # reason of a run that ended for lack of memory, descriptors or processes
SEE_LOG = "the server's log has the details"
MACHINE_FAULTS = frozenset({MACHINE_FAULT, DiskFullError.reason})
EXHAUSTED = {
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",
}
"""Words for resources that the machine lacks, by the system's error number."""
START_DELAY_S = (
    1.0  # of a worker after a start that failed, doubled each time: its GPU may not be free at once
)
START_DELAY_MAX_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineHealth:
    """State of an engine at one moment."""

    refusal: str = ""
    """Reason why no job can ever start with these settings; empty = one may."""
    restarts: int = 0
    """Workers that were replaced since the start."""
    gpu_memory_bytes: int | None = None
    """Reserved by the workers on their GPUs; None without one."""
    workers: int = 1
    """Number of workers that the engine keeps."""
    workers_ready: int = 0
    """Number of those that could run a job or are running one."""

    @property
    def ready(self) -> bool:
        """True if a worker is there for jobs."""
        return self.workers_ready > 0


class Run(ABC):
    """One attempt of a job, in progress."""

    @abstractmethod
    def events(self) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of the run, ending after RunSucceeded, RunFailed or RunCancelled.

        Raises:
            WorkerLostError: the worker died or stopped answering; another attempt may succeed.
        """

    @abstractmethod
    async def cancel(self, deadline_s: float) -> None:
        """Ask the run to end and wait for it; after `deadline_s` seconds its worker is replaced."""

    @abstractmethod
    def accept(self) -> None:
        """Ask the run to learn no more and go on to its stems, without waiting; once is enough."""


class Engine(ABC):
    """Runner of jobs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of runs that can be in progress at once."""

    @abstractmethod
    async def wait_ready(self) -> None:
        """Wait until a run would start at once, however long it takes; may be cancelled."""

    @abstractmethod
    async def start(self, spec: RunSpec) -> Run:
        """Start a run. Waits for a free worker, replacing a dead one.

        The wait can be cancelled (a user who no longer wants the job does not wait for a worker); then
        nothing was started.

        Raises:
            WorkerLostError: no worker could be started.
        """

    @abstractmethod
    async def health(self) -> EngineHealth:
        """Return the state of the engine."""

    @abstractmethod
    async def close(self) -> None:
        """End all workers at once: what they hold is in memory only."""


class Worker(ABC):
    """The front's end of one worker, which runs one job at a time and is started again when it is lost."""

    def __init__(self, name: str, start_timeout_s: float, changed: Callable[[], None]) -> None:
        """Start nothing before `keep`.

        Args:
            name: for messages.
            start_timeout_s: time to start and make its model resident.
            changed: called when the worker has become ready or free.
        """
        self.name = name
        self._start_timeout_s = start_timeout_s
        self._changed = changed
        self.ready = False
        """Whether it could run a job or is running one."""
        self.device = ""
        self.refusal = ""
        """Reason why it can never start with these settings; empty = it may, or has."""
        self.restarts = 0
        """Number of times that it was lost."""
        self.gpu_memory_bytes: int | None = None
        self.models: set[str] = set()
        """Paths of models that it has run since it started."""
        self.current: WorkerRun | None = None

    @property
    def free(self) -> bool:
        """Whether a run would start at once."""
        return self.ready and self.current is None

    async def keep(self) -> None:
        """Start the worker, and again whenever it is lost, until cancelled."""
        delay_s, was_ready = START_DELAY_S, False
        try:
            while True:
                answer = await self._start()
                if isinstance(answer, WorkerReady):
                    log.info("the worker %s is ready on %s", self.name, answer.device)
                    delay_s, was_ready = START_DELAY_S, True
                    self.device, self.refusal, self.ready = answer.device, "", True
                    self._changed()
                    self._abandon(await self._live())
                    self.restarts += 1
                    continue
                if not was_ready:
                    self.refusal = answer.message if answer else ""
                log.error(
                    "the worker %s did not start; trying again in %.0f s %s", self.name, delay_s, self.refusal
                )
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, START_DELAY_MAX_S)
        finally:
            self._abandon("was closed")

    @abstractmethod
    async def _start(self) -> WorkerReady | WorkerRefused | None:
        """Return what the worker says once its model is resident; unless it is ready, nothing runs."""

    @abstractmethod
    async def _live(self) -> str:
        """Wait until the worker is lost and can write nothing more; return what became of it."""

    def run(self, spec: RunSpec) -> WorkerRun:
        """Start a run; the worker must be free."""
        self.current = run = WorkerRun(spec, self)
        self._begin(run)
        return run

    @abstractmethod
    def _begin(self, run: WorkerRun) -> None:
        """Have the worker run it, without waiting, and its events come to `_take`."""

    @abstractmethod
    def ask(self, spec: RunSpec, wish: Wish) -> None:
        """Ask something of the run, without waiting."""

    @abstractmethod
    def end(self, reason: str) -> None:
        """Have the worker killed, without waiting."""

    def _take(self, run: WorkerRun, event: RunEvent) -> None:
        """Pass an event on; the last one frees the worker, or ends it where it cannot be trusted any more."""
        if isinstance(event, RunFailed) and spends_worker(event, self.device):
            self.ready = False
            self.end(f"failed job {run.spec.job_id}: {event.message}")
        if isinstance(event, RunEnd) and self.current is run:
            if not isinstance(event, RunFailed):
                self.models.add(run.spec.model_path)
            self.current = None
            self._changed()
        run.put(event)

    def _abandon(self, reason: str) -> None:
        """Note that the worker is lost; its run, if any, is so too."""
        self.ready, self.gpu_memory_bytes = False, None
        self.models.clear()
        run, self.current = self.current, None
        if run is not None:
            run.put(WorkerLostError(f"the worker {self.name} {reason}"))


class WorkerRun(Run):
    """A run on a worker, which puts the events as they arrive."""

    def __init__(self, spec: RunSpec, worker: Worker) -> None:
        self.spec = spec
        self.cancel_requested = asyncio.Event()
        self.ended = asyncio.Event()
        self._worker = worker
        self._queue: asyncio.Queue[RunEvent | WorkerLostError] = asyncio.Queue()

    def put(self, event: RunEvent | WorkerLostError) -> None:
        """Hand an event to the reader of `events`; one that comes after the last is dropped."""
        if self.ended.is_set():
            return
        if isinstance(event, WorkerLostError) and self.cancel_requested.is_set():
            event = RunCancelled()
        self._queue.put_nowait(event)
        if not isinstance(event, RunStep):
            self.ended.set()

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """See Run.events."""
        while True:
            event = await self._queue.get()
            if isinstance(event, WorkerLostError):
                raise event
            yield event
            if isinstance(event, RunEnd):
                return

    async def cancel(self, deadline_s: float) -> None:
        """See Run.cancel."""
        self.cancel_requested.set()
        if self.ended.is_set():
            return
        self._worker.ask(self.spec, Wish.CANCEL)
        try:
            await asyncio.wait_for(self.ended.wait(), deadline_s)
        except TimeoutError:
            reason = f"did not end within {deadline_s:.1f} s of a cancel"
            log.warning("job %s %s", self.spec.job_id, reason)
            self._worker.end(reason)
            await self.ended.wait()

    def accept(self) -> None:
        """See Run.accept."""
        if not self.ended.is_set():
            self._worker.ask(self.spec, Wish.ACCEPT)


class WorkerEngine(Engine):
    """An engine that gives each run to a worker of its own, once one is free."""

    def __init__(self, start_timeout_s: float) -> None:
        """Keep no worker yet; a run waits `start_timeout_s` seconds for one."""
        self._start_timeout_s = start_timeout_s
        self._changed = asyncio.Event()  # set for those who wait for a worker, to look again
        self.workers: Sequence[Worker] = ()

    @property
    def slots(self) -> int:
        """Number of workers: each has one run."""
        return len(self.workers)

    async def wait_ready(self) -> None:
        """See Engine.wait_ready."""
        await self._free_worker("")

    async def start(self, spec: RunSpec) -> Run:
        """See Engine.start."""
        try:
            async with asyncio.timeout(self._start_timeout_s):
                worker = await self._free_worker(spec.model_path)
                return worker.run(spec)
        except TimeoutError:
            raise WorkerLostError(
                f"no worker became ready within {self._start_timeout_s:.0f} s; see the server's log"
            ) from None

    async def health(self) -> EngineHealth:
        """See Engine.health."""
        ready = [worker for worker in self.workers if worker.ready]
        memory = [worker.gpu_memory_bytes for worker in ready if worker.gpu_memory_bytes is not None]
        refusals = [worker.refusal for worker in self.workers]
        return EngineHealth(
            refusal=refusals[0] if all(refusals) else "",  # else one of them may still start
            restarts=sum(worker.restarts for worker in self.workers),
            gpu_memory_bytes=sum(memory) if memory else None,
            workers=len(self.workers),
            workers_ready=len(ready),
        )

    async def _free_worker(self, model_path: str) -> Worker:
        """Wait for a free worker, and take one that has run the model if there is one."""
        while not (free := [worker for worker in self.workers if worker.free]):
            self._changed.clear()
            await self._changed.wait()
        return min(free, key=lambda worker: model_path not in worker.models)


def failure_of(error: Exception) -> RunFailed:
    """Return the end of a run that an unexpected error has ended."""
    if is_disk_full(error) or isinstance(error, DiskFullError):
        return RunFailed(DiskFullError.reason, DISK_FULL_MESSAGE)
    lacking = EXHAUSTED.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    is_torchs = isinstance(error, RuntimeError) and "allocate memory" in str(error)  # on the CPU
    if isinstance(error, MemoryError) or is_torchs:
        lacking = "memory"
    if lacking:
        return RunFailed(MACHINE_FAULT, f"this machine ran short of {lacking}; {SEE_LOG}")
    return RunFailed("INTERNAL", f"internal error ({type(error).__name__}); {SEE_LOG}")


def spends_worker(failure: RunFailed, device: str) -> bool:
    """Return whether the worker ends with this failure: it cannot be trusted, or holds too much."""
    return failure.reason == MACHINE_FAULT or (failure.reason == "INTERNAL" and "cuda" in device)


class Wish(StrEnum):
    """Wishes that a run in progress can be asked for."""

    CANCEL = "cancel"
    """End at the next step."""
    ACCEPT = "accept"
    """Learn no more, and go on to the stems."""


@dataclass(frozen=True)
class AskRun:
    """To the worker: a wish of the run in progress, if it is still this one."""

    job_id: str
    attempt: int
    wish: Wish


@dataclass(frozen=True)
class WorkerReady:
    """From the worker: the default model is resident and runs can start."""

    device: str
    """Device in use, for example "cpu" or "cuda:0 (NVIDIA H200)"."""


@dataclass(frozen=True)
class WorkerRefused:
    """From the worker, before it ends: it can never start with these settings."""

    message: str
    """For people, with the way out."""


@dataclass(frozen=True)
class Heartbeat:
    """From the worker, once a second: it is alive."""

    gpu_memory_bytes: int | None = None
    """Reserved on its GPU; None without one."""


Message = RunSpec | AskRun | WorkerReady | WorkerRefused | Heartbeat | RunEvent

KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}

RunKey = tuple[str, int]
"""Job id and attempt of a run."""


def encode_line(message: Message, run: RunKey | None = None) -> bytes:
    """Return the message as one line, newline included; the events of a run carry its key."""
    return msgspec.json.encode({"kind": type(message).__name__, "body": message, "run": run}) + b"\n"


def decode_line(line: bytes) -> tuple[Message, RunKey | None]:
    """Return the message of a line, and the key of its run.

    Raises:
        msgspec.DecodeError: the line is no message.
    """
    envelope = msgspec.json.decode(line)
    if not isinstance(envelope, dict) or envelope.get("kind") not in KINDS:
        raise msgspec.DecodeError(f"not a message: {line[:200]!r}")
    message = msgspec.convert(envelope.get("body"), KINDS[envelope["kind"]])
    return message, msgspec.convert(envelope.get("run"), RunKey | None)
