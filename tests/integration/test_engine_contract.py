"""Contract of every engine with the scheduler, on the real engines and on the fake of the tests."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from tests.helpers.engines import (
    BY_S,
    EVERY_ENGINE,
    HARNESSES,
    all_events,
    check_success,
    check_whole,
    reach_adaptation,
    read_on,
    run_through,
    until,
)
from tests.helpers.run_specs import ENDLESS, FRAMES, RATE_HZ, RunSpecs
from tests.helpers.runs import changed
from ugosa_server.errors import WorkerLostError
from ugosa_server.jobs.runs import (
    BaseStems,
    RunBaseStems,
    RunCancelled,
    RunFailed,
    RunPhase,
    RunPreview,
    RunProgress,
    RunStep,
    RunSucceeded,
)

# One group: each process would start engines of its own.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("engine contract")]

DEADLINE_S = 60.0  # by which no machine is too slow: a run that is cancelled costs no worker


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    return RunSpecs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module", params=EVERY_ENGINE)
def harness(request):
    return HARNESSES[request.param]()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(harness, specs):
    """One engine for all tests: whatever one of them does to it, it serves the next."""
    engine = await harness.start(specs)
    yield engine
    await engine.close()
    await until(lambda: harness.processes() == [], "the end of all processes")


@pytest.fixture
def make_spec(specs, request):
    """A spec whose job is named after the test."""

    def make(part="", attempt=1, **changes):
        return specs.make(f"{request.node.name}{part}", attempt, **changes)

    return make


async def test_run_yields_its_phases_in_order_and_whole_files(engine, make_spec):
    spec = make_spec()
    events = await run_through(engine, spec)
    progress = [event for event in events if isinstance(event, RunProgress)]
    assert list(dict.fromkeys(event.phase for event in progress)) == list(RunPhase)
    assert [event.fraction for event in progress] == sorted(event.fraction for event in progress)
    endings = [event for event in events if not isinstance(event, RunStep)]
    assert [type(event) for event in endings] == [RunSucceeded]
    check_success(spec, events)


async def test_stems_of_a_real_engine_add_up_and_obey_marks(engine, harness, make_spec, specs):
    if harness.name == "fake":
        pytest.skip("the fake separates nothing")
    spec = make_spec()
    events = await run_through(engine, spec)
    read = {
        stem.source: soundfile.read(Path(spec.out_dir) / stem.file_name, dtype="float32", always_2d=True)[0]
        for stem in events[-1].stems
    }
    np.testing.assert_array_equal(sum(read.values()), specs.song)
    fade_frames = RATE_HZ // 100
    assert np.abs(read["vocals"][: RATE_HZ // 2 - fade_frames]).max() <= 10 ** (-90 / 20)


@pytest.mark.parametrize("base_stems", [BaseStems.EARLY, BaseStems.KEPT])
async def test_base_stems_are_whole_before_the_adaptation(engine, harness, make_spec, base_stems):
    if harness.name == "fake" and base_stems is BaseStems.KEPT:
        pytest.skip("the fake keeps none")
    spec = make_spec(base_stems=base_stems)
    run, rest = await engine.start(spec), []
    async with aclosing(run.events()) as events:
        async for event in events:
            if isinstance(event, RunBaseStems):
                check_whole(spec, event.stems)
                early = event.stems
                rest = await read_on(events)
                break
            assert not (isinstance(event, RunProgress) and event.phase is RunPhase.ADAPTATION)
    check_success(spec, rest)
    assert rest[-1].base_stems == (early if base_stems is BaseStems.KEPT else ())
    check_whole(spec, rest[-1].base_stems)
    are_there = {path.name for path in Path(spec.out_dir).glob("base-*")}
    assert are_there == {stem.file_name for stem in rest[-1].base_stems}


async def test_previews_are_whole_while_the_run_learns(engine, harness, specs, make_spec):
    if harness.name == "fake":
        pytest.skip("the fake makes none")
    spec = changed(make_spec(epochs=ENDLESS), preview_start_frame=FRAMES // 4, preview_end_frame=FRAMES)
    run = await engine.start(spec)
    async with aclosing(run.events()) as events:
        async for event in events:
            if isinstance(event, RunPreview):
                check_whole(spec, event.stems)
                paths = [Path(spec.out_dir) / stem.file_name for stem in event.stems]
                stems = np.stack([soundfile.read(path)[0] for path in paths])
                break
        run.accept()
        check_success(spec, await read_on(events))
    assert np.array_equal(stems.sum(axis=0), specs.song[FRAMES // 4 :])
    assert (np.abs(stems).max(axis=(1, 2)) > 0).all()
    assert list(Path(spec.out_dir).glob("preview-*")) == []


async def test_run_that_cannot_work_fails_and_keeps_its_worker(engine, make_spec):
    spec = make_spec(model_path="/no/such/model.safetensors")
    restarts = (await engine.health()).restarts
    events = await run_through(engine, spec)
    assert isinstance(events[-1], RunFailed)
    assert events[-1].reason == "BAD_CHECKPOINT"
    assert list(Path(spec.out_dir).iterdir()) == []
    assert (await engine.health()).restarts == restarts
    check_success(following := make_spec("-following"), await run_through(engine, following))


async def test_cancelled_run_leaves_nothing_and_frees_its_worker(engine, make_spec):
    spec = make_spec(epochs=ENDLESS)
    run = await engine.start(spec)
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        await run.cancel(DEADLINE_S)
        rest = await read_on(events)
    assert isinstance(rest[-1], RunCancelled)
    assert list(Path(spec.out_dir).iterdir()) == []
    check_success(following := make_spec("-following"), await run_through(engine, following))


async def test_accepted_run_learns_no_more_and_gives_its_stems(engine, make_spec):
    spec = make_spec(epochs=ENDLESS)
    run = await engine.start(spec)
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        run.accept()
        run.accept()
        check_success(spec, await read_on(events))
    run.accept()  # too late, and no error
    check_success(following := make_spec("-following", epochs=1), await run_through(engine, following))


async def test_run_can_be_accepted_before_its_first_event(engine, make_spec):
    spec = make_spec(epochs=ENDLESS)
    run = await engine.start(spec)
    run.accept()
    check_success(spec, await all_events(run))


async def test_run_can_be_cancelled_before_its_first_event(engine, make_spec):
    run = await engine.start(make_spec(epochs=ENDLESS))
    await run.cancel(DEADLINE_S)
    assert isinstance((await all_events(run))[-1], RunCancelled)


async def test_repeated_cancels_are_one(engine, make_spec):
    run = await engine.start(make_spec(epochs=ENDLESS))
    await asyncio.gather(*(run.cancel(DEADLINE_S) for _ in range(3)))
    events = await all_events(run)
    endings = [event for event in events if not isinstance(event, RunStep)]
    assert [type(event) for event in endings] == [RunCancelled]
    await run.cancel(0.0)
    assert await engine.health()
    check_success(following := make_spec("-following"), await run_through(engine, following))


async def test_cancel_that_races_the_end_has_one_outcome(engine, make_spec):
    restarts = (await engine.health()).restarts
    for number, phase in enumerate(RunPhase):
        spec = make_spec(f"-{number}", epochs=1)
        run = await engine.start(spec)
        async with aclosing(run.events()) as events:
            async for event in events:
                if isinstance(event, RunProgress) and event.phase is phase:
                    break
            cancelling = asyncio.create_task(run.cancel(DEADLINE_S))
            rest = await read_on(events)
        await cancelling
        if isinstance(rest[-1], RunCancelled):
            assert list(Path(spec.out_dir).iterdir()) == []
        else:
            check_success(spec, rest)
        assert not any(isinstance(event, RunSucceeded | RunCancelled) for event in rest[:-1])
    assert (await engine.health()).restarts == restarts


async def test_slow_reader_misses_nothing_and_delays_nothing(engine, make_spec):
    spec = make_spec()
    run = await engine.start(spec)
    await until(lambda: (Path(spec.out_dir) / "report.html").exists(), "the run's end without a reader")
    events = await all_events(run)
    assert list(dict.fromkeys(e.phase for e in events if isinstance(e, RunProgress))) == list(RunPhase)
    check_success(spec, events)


async def test_late_events_of_a_run_do_not_reach_the_next_one(engine, make_spec):
    forgotten = await engine.start(make_spec("-forgotten", epochs=ENDLESS))
    async with aclosing(forgotten.events()) as events:
        await reach_adaptation(events)
    await forgotten.cancel(DEADLINE_S)
    spec = make_spec("-next", epochs=1)
    events = await run_through(engine, spec)
    assert events[0].phase is RunPhase.PREPARE
    assert max(event.epochs for event in events if isinstance(event, RunProgress)) <= 1
    check_success(spec, events)


async def test_health_answers_while_a_run_computes(engine, make_spec):
    run = await engine.start(make_spec(epochs=ENDLESS))
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        async with asyncio.timeout(BY_S):  # the run itself never ends
            assert (await engine.health()).ready
    await run.cancel(DEADLINE_S)


async def test_silent_worker_is_replaced(engine, harness, make_spec):
    restarts = (await engine.health()).restarts
    run = await engine.start(make_spec("-hung", epochs=ENDLESS))
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        await harness.hang(engine)
        with pytest.raises(WorkerLostError):
            await read_on(events)
    check_success(following := make_spec("-following"), await run_through(engine, following))
    assert (await engine.health()).restarts == restarts + 1
    assert len(harness.processes()) <= 1, "the hung one could wake up and write"


async def test_hung_run_that_is_cancelled_ends_by_its_deadline(engine, harness, make_spec):
    run = await engine.start(make_spec("-hung", epochs=ENDLESS))
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        await harness.hang(engine)
        await run.cancel(deadline_s=0.2)
        rest = await read_on(events)
    assert isinstance(rest[-1], RunCancelled)
    check_success(following := make_spec("-following"), await run_through(engine, following))
