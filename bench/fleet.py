"""The real scheduler and store before a fleet of workers that only pass the time: `python -m bench.fleet`.

What a run costs its worker is simulated: phases of measured lengths, told by progress events. What it costs
the front process is real: every claim, event and ending goes through the scheduler into SQLite. The clock of
the event loop runs on while the front process works and skips the time in which everybody waits, so that a
front that cannot follow shows as workers that stand idle and as events that become durable late.

Two questions: how 10,000 jobs fare on 1 to 64 workers at nine tenths of their capacity, and how many workers
one front process can follow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import selectors
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import QuotaSettings
from ugosa_server.engines import Engine, EngineHealth, Run
from ugosa_server.jobs.events import EventHub
from ugosa_server.jobs.model import JobDraft, Upload, UploadFormat, new_id
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.runs import (
    JobOptions,
    RunEvent,
    RunPhase,
    RunProgress,
    RunSpec,
    RunSucceeded,
    StemFile,
)
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import STORE_FILE_NAME, AsyncStore, Store
from ugosa_server.models.registry import ModelRegistry
from ugosa_server.pipeline.progress import MIN_INTERVAL_S
from ugosa_server.scheduling import Scheduler

RESULTS = Path(__file__).parent / "fleet.json"
JOBS = 10_000
WORKERS = (1, 2, 4, 8, 16, 32, 64)
LOAD = 0.9  # of the workers' capacity
PRINCIPALS = 4
COARSE_INTERVAL_S = 10.0  # between events where only waiting times are asked for

FOLLOWED_WORKERS = (64, 128, 256, 512, 1024)
FOLLOWED_S = 10.0

# Seconds of a three-minute song with `starter` on two CPU cores (bench/results.json): ten epochs at
# 5.1 steps/s, separation at 25 x real time.
PHASES_S = {
    RunPhase.PREPARE: 1.0,
    RunPhase.BASE_SEPARATION: 7.2,
    RunPhase.ADAPTATION: 88.0,
    RunPhase.SEPARATION: 7.2,
    RunPhase.REPORT: 2.0,
}
RUN_S = sum(PHASES_S.values())
AUDIO = SourceAudio("/none/audio.f32", 44100, 2, 180 * 44100, "WAV PCM_16", 0.5)
PLENTY = 2**60
R = TypeVar("R")


class SkippingSelector(selectors.DefaultSelector):
    """Waits only for work on other threads; other waiting is skipped on the loop's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self.outside = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See the class."""
        if self.outside or timeout is None or timeout <= 0:
            return super().select(timeout)
        self.skipped_s += timeout
        return super().select(0)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock skips idle time."""

    def __init__(self) -> None:
        self._skipping = SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds, the skipped ones included."""
        return time.monotonic() + self._skipping.skipped_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """Do work on a thread, during which no time is skipped."""
        self._skipping.outside += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _future: asyncio.Future[Any]) -> None:
        self._skipping.outside -= 1


@dataclass
class Clocks:
    """Load and length of a simulation, in seconds of the loop's clock."""

    made_s: dict[str, float]
    """When each job was made."""
    started_s: dict[str, float]
    """When its run began."""
    event_delays_s: list[float]
    """From each event to the moment when the engine was asked for the next one."""
    ended: int = 0
    """Number of ended runs."""


class IdleRun(Run):
    """Passes the time of a run."""

    def __init__(self, spec: RunSpec, engine: FleetEngine) -> None:
        self._spec = spec
        self._engine = engine

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """See Run.events. A worker does not wait for the front, so late events do not make a run longer."""
        loop, clocks = asyncio.get_running_loop(), self._engine.clocks
        start_s = due_s = loop.time()
        for phase, phase_s in PHASES_S.items():
            steps = max(1, round(phase_s / self._engine.interval_s))
            for step in range(1, steps + 1):
                due_s += phase_s / steps
                await asyncio.sleep(due_s - loop.time())
                yield RunProgress(phase, min(1.0, (due_s - start_s) / RUN_S), 1.0, step, steps)
                clocks.event_delays_s.append(loop.time() - due_s)
        clocks.ended += 1
        stems = tuple(
            StemFile(name, f"{name}.wav", AUDIO.frames, 4 * 2 * AUDIO.frames, "00" * 32) for name in "abcd"
        )
        yield RunSucceeded(stems, "report.json", "report.html", "levels.json")

    async def cancel(self, deadline_s: float) -> None:
        """See Run.cancel."""

    def accept(self) -> None:
        """See Run.accept."""


class FleetEngine(Engine):
    """Workers without a network."""

    def __init__(self, workers: int, interval_s: float) -> None:
        self._workers = workers
        self.interval_s = interval_s
        self.clocks = Clocks({}, {}, [])

    @property
    def slots(self) -> int:
        """See Engine.slots."""
        return self._workers

    async def wait_ready(self) -> None:
        """See Engine.wait_ready."""

    async def start(self, spec: RunSpec) -> Run:
        """See Engine.start."""
        self.clocks.started_s[spec.job_id] = asyncio.get_running_loop().time()
        return IdleRun(spec, self)

    async def health(self) -> EngineHealth:
        """See Engine.health."""
        return EngineHealth(workers_ready=1)

    async def close(self) -> None:
        """See Engine.close."""


class Front:
    """The front process without its RPCs."""

    def __init__(self, state_dir: Path, engine: FleetEngine) -> None:
        self.store = AsyncStore(state_dir / STORE_FILE_NAME)
        self.hub = EventHub()
        registry = ModelRegistry()
        spool = Spool(state_dir, 0)
        quotas = Quotas(QuotaSettings(PLENTY, PLENTY, PLENTY, PLENTY, PLENTY, PLENTY))
        self.jobs = JobQueue(self.store, spool, registry, self.hub, quotas, "starter")
        self.scheduler = Scheduler(self.jobs, engine, 15.0)
        self._engine = engine

    async def make_job(self, number: int) -> None:
        """Make the next job of one of the principals."""
        principal = f"p{number % PRINCIPALS}"
        job_id = new_id("job")

        def make(store: Store) -> None:
            store.uploads.create(job_id, principal, job_id, "", UploadFormat())
            store.uploads.complete(job_id, "00" * 32, AUDIO)
            upload: Upload = store.uploads.get(principal, job_id)
            store.jobs.create(job_id, job_id, "", JobDraft(upload, JobOptions("starter"), ()))

        await self.store(make)
        self._engine.clocks.made_s[job_id] = asyncio.get_running_loop().time()
        self.hub.announce(job_id)
        self.jobs.arrived.set()

    async def close(self) -> None:
        """Stop everything where it is."""
        await self.scheduler.drain(0)
        self.store.close()


@dataclass(frozen=True)
class Fleet:
    """Waiting and utilisation of jobs on a number of workers."""

    workers: int
    """In the fleet."""
    jobs: int
    """That were run."""
    utilisation: float
    """Share of the workers' time in which they ran jobs, from the first job to the end of the last one."""
    wait_p50_s: float
    """From making a job to the start of its run."""
    wait_p95_s: float
    """The same, for the slowest twentieth."""
    jobs_per_hour: float
    """That ended."""
    front_share: float
    """CPU time of the front process by the fleet's time; 1 = one core is busy all the time."""


@dataclass(frozen=True)
class Following:
    """Load of one front process that follows a number of busy workers."""

    workers: int
    """In the fleet."""
    events_per_s: float
    """That the workers tell."""
    followed_per_s: float
    """That became durable."""
    delay_p50_ms: float
    """From an event to its being durable."""
    delay_p99_ms: float
    """The same, for the slowest hundredth."""
    front_share: float
    """CPU time of the front process by the fleet's time."""


async def run_fleet(workers: int, jobs: int, folder: Path) -> Fleet:
    """Let jobs arrive at random at LOAD of the workers' capacity, until all have ended."""
    loop = asyncio.get_running_loop()
    engine = FleetEngine(workers, COARSE_INTERVAL_S)
    front = Front(folder, engine)
    chance = random.Random(workers)
    cpu_s, start_s = time.process_time(), loop.time()
    front.scheduler.start()
    arrival_s = start_s
    for number in range(jobs):
        arrival_s += chance.expovariate(LOAD * workers / RUN_S)
        await asyncio.sleep(arrival_s - loop.time())
        await front.make_job(number)
    while engine.clocks.ended < jobs:
        await asyncio.sleep(1.0)
    elapsed_s, cpu_s = loop.time() - start_s, time.process_time() - cpu_s
    await front.close()
    clocks = engine.clocks
    waits_s = [clocks.started_s[job_id] - made_s for job_id, made_s in clocks.made_s.items()]
    return Fleet(
        workers=workers,
        jobs=jobs,
        utilisation=round(jobs * RUN_S / (workers * elapsed_s), 3),
        wait_p50_s=round(statistics.median(waits_s), 1),
        wait_p95_s=round(statistics.quantiles(waits_s, n=20)[-1], 1),
        jobs_per_hour=round(3600 * jobs / elapsed_s),
        front_share=round(cpu_s / elapsed_s, 4),
    )


async def follow(workers: int, folder: Path) -> Following:
    """Let all workers run jobs for FOLLOWED_S, telling as often as real ones do."""
    loop = asyncio.get_running_loop()
    engine = FleetEngine(workers, MIN_INTERVAL_S)
    front = Front(folder, engine)
    for number in range(workers):
        await front.make_job(number)
    front.scheduler.start()
    while len(engine.clocks.started_s) < workers:
        await asyncio.sleep(1.0)
    engine.clocks.event_delays_s.clear()
    cpu_s, start_s = time.process_time(), loop.time()
    await asyncio.sleep(FOLLOWED_S)
    elapsed_s, cpu_s = loop.time() - start_s, time.process_time() - cpu_s
    delays_s = list(engine.clocks.event_delays_s)
    await front.close()
    return Following(
        workers=workers,
        events_per_s=round(workers / MIN_INTERVAL_S),
        followed_per_s=round(len(delays_s) / elapsed_s),
        delay_p50_ms=round(1e3 * statistics.median(delays_s), 1),
        delay_p99_ms=round(1e3 * statistics.quantiles(delays_s, n=100)[-1], 1),
        front_share=round(cpu_s / elapsed_s, 3),
    )


def in_skipped_time(work: Callable[[Path], Coroutine[Any, Any, R]], folder: Path | None) -> R:
    """Run a simulation on a fresh state directory."""
    with tempfile.TemporaryDirectory(prefix="ugosa-fleet-", dir=folder) as scratch:
        loop = SkippingLoop()
        try:
            return loop.run_until_complete(work(Path(scratch)))
        finally:
            loop.close()


def waiting(jobs: int) -> list[Fleet]:
    """Simulate jobs, on a disk in memory, which spares a million fsyncs that nobody waits for."""
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    return [in_skipped_time(partial(run_fleet, workers, jobs), memory) for workers in WORKERS]


def following() -> list[Following]:
    """Measure how many workers one front process can follow, on the disk of the temporary folder."""
    return [in_skipped_time(partial(follow, workers), None) for workers in FOLLOWED_WORKERS]


def main() -> None:
    """Run the simulations and write bench/fleet.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("question", choices=["waiting", "following", "both"], nargs="?", default="both")
    parser.add_argument("--jobs", type=int, default=JOBS, help="of `waiting`, default %(default)s")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # runs that are stopped at the end go back to the queue
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results |= {"run_s": RUN_S, "load": LOAD}
    if arguments.question != "following":
        results["waiting"] = [asdict(fleet) for fleet in waiting(arguments.jobs)]
    if arguments.question != "waiting":
        results["following"] = [asdict(followed) for followed in following()]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
