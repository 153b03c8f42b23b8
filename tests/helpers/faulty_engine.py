"""An engine without a network that keeps the engines' contract, and dies, hangs and babbles on command.

Faults carry the names of `failpoints.py` and happen once each, in the order in which they are given; a worker
that dies is replaced at once.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from pathlib import Path

from ugosa_server.engines import Engine, EngineHealth, Run
from ugosa_server.errors import WorkerLostError
from ugosa_server.files import replacing
from ugosa_server.jobs.runs import (
    BaseStems,
    RunBaseStems,
    RunCancelled,
    RunFailed,
    RunPhase,
    RunProgress,
    RunSucceeded,
    StemFile,
)

SOURCES = ("drums", "bass", "other", "vocals")
STEPS = 3
DUPLICATES = "every event comes twice"
LATE = "more events come after the last one, and those of another ending"
LOST_RESULT = "the events end without a last one"
HANGS = "a fault has the worker hang and not die"


class _DiedError(Exception):
    """The worker is gone."""


class FaultyRun(Run):
    def __init__(self, engine, spec):
        self.spec = spec
        self._engine = engine
        self._events = asyncio.Queue()
        self._cancel_requested = False
        self._accepted = False
        self._hung = asyncio.Event()
        self.ended = asyncio.Event()
        self._work = asyncio.create_task(self._run())

    async def events(self):
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            if event is None:
                return
            yield event

    async def cancel(self, deadline_s):
        self._cancel_requested = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._work), deadline_s)
        self.lose("was replaced")

    def accept(self):
        self._accepted = True

    def hang(self):
        """Say nothing more; after the engine's patience the worker is taken for lost."""
        self._hung.set()
        asyncio.get_running_loop().call_later(self._engine.patience_s, self.lose, "said nothing")

    def lose(self, reason):
        if self.ended.is_set():
            return
        self._work.cancel()
        self._engine.restarts += 1
        self._end(
            RunCancelled() if self._cancel_requested else WorkerLostError(f"the worker process {reason}")
        )

    def _say(self, event):
        for _ in range(2 if DUPLICATES in self._engine.habits else 1):
            self._events.put_nowait(event)

    def _end(self, event):
        self.ended.set()
        self._engine.free.set()
        if LOST_RESULT in self._engine.habits:
            self._engine.habits.discard(LOST_RESULT)
            self._events.put_nowait(None)
            return
        self._say(event)
        if LATE in self._engine.habits:
            self._say(RunProgress(RunPhase.PREPARE, 0.0, None, 0, 1))
            self._say(RunFailed("LATE", "said after the end"))
            self._events.put_nowait(WorkerLostError("the worker process ended after its run"))
        self._events.put_nowait(None)

    async def _run(self):
        try:
            self._end(await self._phases())
        except _DiedError:
            self.lose("ended (exit status -9)")

    async def _phases(self):
        total = len(RunPhase) * STEPS
        for number, phase in enumerate(RunPhase):
            self._reach(f"phase.{phase}.begun")
            is_long = phase is RunPhase.ADAPTATION
            steps = self.spec.options.adaptation.epochs * STEPS if is_long else STEPS
            self._say(RunProgress(phase, number * STEPS / total, None, 0, steps))
            for step in range(1, steps + 1):
                if is_long and self._accepted:
                    break
                await asyncio.sleep(self._engine.step_s)
                self._reach(f"phase.{phase}.step")
                if self._hung.is_set():
                    await asyncio.Event().wait()
                if self._cancel_requested:
                    return RunCancelled()
                if not Path(self.spec.model_path).exists():
                    return RunFailed("BAD_CHECKPOINT", f"{self.spec.model_path} is not there")
                fraction = (number + step / steps) * STEPS / total
                self._say(RunProgress(phase, min(1.0, fraction), 1.0, step, steps))
            if phase is RunPhase.BASE_SEPARATION and self.spec.options.base_stems is not BaseStems.NONE:
                self._say(RunBaseStems(write_stems(self.spec, "base")))
        ending = succeed(self.spec)
        self._reach("worker.report_written")
        return ending

    def _reach(self, name):
        if self._engine.faults and self._engine.faults[0] == name:
            self._engine.faults.popleft()
            if HANGS not in self._engine.habits:
                raise _DiedError
            self.hang()


def succeed(spec):
    """Write small files as a real run would, and return its last event."""
    out_dir = Path(spec.out_dir)
    stems = write_stems(spec, "stem")
    for path in out_dir.glob("base-*"):
        path.unlink()
    for name in ("report.json", "report.html", "levels.json"):
        with replacing(out_dir / name) as stream:
            stream.write(b'{"schema_version": 1}')
    return RunSucceeded(stems, "report.json", "report.html", "levels.json")


def write_stems(spec, name):
    stems = []
    for index, source in enumerate(SOURCES):
        content = f"{spec.job_id} {spec.attempt} {source} {name}".encode() * 100
        path = Path(spec.out_dir) / f"{name}-{index}.wav"
        with replacing(path) as stream:
            stream.write(content)
        digest = hashlib.sha256(content).hexdigest()
        stems.append(StemFile(source, path.name, spec.source.frames, len(content), digest))
    return tuple(stems)


class FaultyEngine(Engine):
    """Runs one job at a time."""

    def __init__(self, faults=(), habits=(), patience_s=0.2, step_s=0.0):
        self.faults = deque(faults)
        self.habits = set(habits)
        self.patience_s = patience_s
        self.step_s = step_s
        self.restarts = 0
        self.runs = []
        self.free = asyncio.Event()
        self.free.set()

    @property
    def slots(self):
        return 1

    async def wait_ready(self):
        await self.free.wait()

    async def start(self, spec):
        await self.free.wait()
        self.free.clear()
        run = FaultyRun(self, spec)
        self.runs.append(run)
        return run

    async def health(self):
        return EngineHealth(restarts=self.restarts, workers_ready=1)

    async def close(self):
        for run in self.runs:
            run.lose("was closed")
