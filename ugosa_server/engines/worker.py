"""Workers as the front process sees them, and the engine that keeps some alive and gives each run to one."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence

from ugosa_server.engines.base import (
    Engine,
    EngineHealth,
    Run,
    Wish,
    WorkerReady,
    WorkerRefused,
    spends_worker,
)
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs import RunCancelled, RunEnd, RunEvent, RunFailed, RunSpec, RunStep

START_DELAY_S = 1.0  # after a start that failed, doubled each time: a dead worker's GPU is not free at once
START_DELAY_MAX_S = 60.0

log = logging.getLogger(__name__)


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
        """True if it could run a job or is running one."""
        self.device = ""
        self.refusal = ""
        """Reason why it can never start with these settings; empty = it may, or has."""
        self.restarts = 0
        """Number of times that it was lost."""
        self.gpu_memory_bytes: int | None = None
        self.models: set[str] = set()
        """Paths of models that it has loaded since it started."""
        self.current: WorkerRun | None = None
        self._was_ready = False

    @property
    def free(self) -> bool:
        """Whether a run would start at once."""
        return self.ready and self.current is None

    async def keep(self) -> None:
        """Start the worker, and again whenever it is lost, until cancelled."""
        delay_s = START_DELAY_S
        try:
            while True:
                answer = await self._start()
                if isinstance(answer, WorkerReady):
                    log.info("the worker %s is ready on %s", self.name, answer.device)
                    delay_s, self._was_ready = START_DELAY_S, True
                    self.device, self.refusal, self.ready = answer.device, "", True
                    self._changed()
                    self._abandon(await self._live())
                    self.restarts += 1
                    continue
                refusal = answer.message if answer else ""
                if not self._was_ready:
                    self.refusal = refusal
                log.error(
                    "the worker %s did not start; trying again in %.0f s %s", self.name, delay_s, refusal
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
        if isinstance(event, RunEnd) and self.current is run:
            self.current = None
            if not isinstance(event, RunFailed):
                self.models.add(run.spec.model_path)
            elif spends_worker(event, self.device):
                self.ready = False
                self.end(f"failed job {run.spec.job_id}: {event.message}")
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
            if self.ended.is_set():  # in the same moment: the worker may have the next run by now
                return
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
