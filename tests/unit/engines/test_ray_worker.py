"""The front's end of an actor, on actors that are plain objects: retries, fencing, placement."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from tests.helpers.engines import until
from tests.helpers.run_specs import RunSpecs
from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import WorkerReady, WorkerRefused
from ugosa_server.engines.ray import worker as ray_worker
from ugosa_server.engines.ray.actor import ActorHealth
from ugosa_server.engines.ray.worker import RayWorker
from ugosa_server.engines.worker import WorkerEngine
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs.runs import RunPhase, RunProgress, RunSucceeded

pytestmark = pytest.mark.asyncio


class GoneError(Exception):
    """Stands for the error of a call of a lost actor."""


class Actor:
    """An actor: `actor.method.remote(...)` can be awaited."""

    def __init__(self, name, prepare=None, events=()):
        """`events` of its run; it waits where one is an asyncio.Event, and dies where one is an error."""
        self.name = name
        self.gone = False
        self.stream_ended = asyncio.Event()
        self._prepare = prepare or WorkerReady("cpu")
        self._events = events
        self.asked = []

    def __getattr__(self, method):
        return SimpleNamespace(remote=lambda *a, **k: self._call(method, *a))

    def _call(self, method, *arguments):
        self.asked.append(method)
        return self._run() if method == "run" else self._answer(method)

    async def _answer(self, method):
        if self.gone:
            raise GoneError(f"{self.name} is gone")
        if method == "prepare":
            if isinstance(self._prepare, Exception):
                raise self._prepare
            return self._prepare
        if method == "health":
            return ActorHealth(self.name, None)
        return None

    async def _run(self):
        try:
            for event in self._events:
                if isinstance(event, asyncio.Event):
                    await event.wait()
                    continue
                if isinstance(event, Exception):
                    self.gone = True
                    raise event
                yield self._value(event)
        finally:
            self.stream_ended.set()

    async def _value(self, value):
        return value


class Fleet:
    """A session that makes the given actors one after the other, and notes which are killed."""

    errors = (GoneError,)

    def __init__(self, *actors):
        self._actors = list(actors)
        self.made = []
        self.made_s = []
        self.killed = []

    def make_actor(self, name, settings):
        self.made.append(self._actors.pop(0))
        self.made_s.append(asyncio.get_running_loop().time())
        return self.made[-1]

    async def sees_files(self, actor):
        return True

    def kill(self, actor, may_restart):
        self.killed.append(actor)


def worker_of(fleet):
    changed = asyncio.Event()
    return RayWorker("w", fleet, WorkerSettings(heartbeat_timeout_s=10), "/model", 10, changed.set), changed


@contextlib.asynccontextmanager
async def kept(fleet):
    worker, changed = worker_of(fleet)
    async with keeping(worker):
        yield worker, changed


@contextlib.asynccontextmanager
async def keeping(worker):
    keeper = asyncio.create_task(worker.keep())
    try:
        yield
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


@pytest.fixture
def spec(tmp_path):
    return RunSpecs(tmp_path).make("job")


async def test_start_that_fails_is_tried_again_with_growing_delays(monkeypatch):
    monkeypatch.setattr("ugosa_server.engines.worker.START_DELAY_S", 0.02)
    occupied = GoneError("CUDA error: out of memory")
    fleet = Fleet(Actor("a", occupied), Actor("b", occupied), Actor("c", occupied), Actor("d"))
    async with kept(fleet) as (worker, changed):
        await changed.wait()
        assert worker.free
        waits_s = [later - earlier for earlier, later in zip(fleet.made_s, fleet.made_s[1:], strict=False)]
        assert all(wait_s >= delay_s for wait_s, delay_s in zip(waits_s, (0.02, 0.04, 0.08), strict=True))
        assert fleet.killed == fleet.made[:3], "no actor is left behind on the GPU"


async def test_refusal_is_cleared_once_an_actor_starts(monkeypatch):
    monkeypatch.setattr("ugosa_server.engines.worker.START_DELAY_S", 0.01)
    fleet = Fleet(Actor("a", WorkerRefused("install the same version everywhere")), Actor("b"))
    async with kept(fleet) as (worker, changed):
        await changed.wait()
        assert (worker.refusal, worker.ready, len(fleet.made)) == ("", True, 2)


async def test_refusal_of_a_later_start_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(ray_worker, "HEALTH_INTERVAL_S", 0.01)
    monkeypatch.setattr("ugosa_server.engines.worker.START_DELAY_S", 0.01)
    first = Actor("a")
    async with kept(Fleet(first, Actor("b", WorkerRefused("no such device")), Actor("c"))) as (_, changed):
        await changed.wait()
        changed.clear()
        first.gone = True
        await changed.wait()
    assert "no such device" in caplog.text


async def test_refusal_after_a_reconnection_ends_no_server(caplog):
    worker, changed = worker_of(Fleet(Actor("a"), Actor("b", WorkerRefused("no such device"))))
    async with keeping(worker):
        await changed.wait()
    async with keeping(worker):
        await until(lambda: "trying again" in caplog.text, "the refusal")
        assert (await Workers(worker).health()).refusal == ""


async def test_lost_actor_that_answers_is_killed_before_its_run_ends(spec, monkeypatch):
    monkeypatch.setattr(ray_worker, "HEALTH_INTERVAL_S", 0.01)
    running = RunProgress(RunPhase.PREPARE, 0.0, None, 0, 1)
    fleet = Fleet(actor := Actor("a", events=[running]), Actor("b"))
    async with kept(fleet) as (worker, changed):
        await changed.wait()
        run = worker.run(spec)
        with pytest.raises(WorkerLostError, match="without a result"):
            async for _ in run.events():
                pass
        assert fleet.killed == [actor]


async def test_late_end_of_an_earlier_actor_leaves_the_next_one_alone(spec, monkeypatch):
    monkeypatch.setattr(ray_worker, "HEALTH_INTERVAL_S", 0.01)
    monkeypatch.setattr("ugosa_server.engines.worker.START_DELAY_S", 0.01)
    late = asyncio.Event()
    done = RunSucceeded((), "report.json", "report.html")
    first = Actor("a", events=[late, GoneError("a died")])
    second = Actor("b", events=[done])
    async with kept(Fleet(first, second)) as (worker, changed):
        await changed.wait()
        changed.clear()
        run = worker.run(spec)
        first.gone = True
        with pytest.raises(WorkerLostError, match="died"):
            await anext(run.events())
        await changed.wait()
        late.set()
        await first.stream_ended.wait()
        assert worker.free
        assert [event async for event in worker.run(spec).events()] == [done]
        assert worker.free
        assert worker.restarts == 1
        assert spec.model_path in worker.models


class Workers(WorkerEngine):
    """An engine of the given workers."""

    def __init__(self, *workers):
        super().__init__(start_timeout_s=0.01)
        self.workers = workers

    async def close(self):
        pass


async def test_worker_with_the_model_resident_is_preferred(tmp_path):
    def worker(*models, free=True):
        made = SimpleNamespace(free=free, models=set(models))
        made.run = lambda spec: made
        return made

    specs = RunSpecs(tmp_path)
    busy, other, resident = worker("/m", free=False), worker("/x"), worker("/x", "/m")
    engine = Workers(busy, other, resident)
    assert await engine.start(specs.make("resident", model_path="/m")) is resident
    assert await engine.start(specs.make("new", model_path="/new")) is other
    with pytest.raises(WorkerLostError, match="no worker became ready"):
        await Workers(busy).start(specs.make("waits"))
