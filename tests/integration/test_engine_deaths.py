"""An engine whose worker dies at every place of a run, and one that is closed in the middle."""

import os
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.helpers.engines import (
    EVERY_ENGINE,
    HARNESSES,
    check_success,
    reach_adaptation,
    read_on,
    ready,
    run_through,
    until,
)
from tests.helpers.failpoints import PHASES
from tests.helpers.run_specs import ENDLESS, RunSpecs
from ugosa_server.errors import WorkerLostError

pytestmark = pytest.mark.asyncio


@pytest.fixture
def specs(tmp_path):
    return RunSpecs(tmp_path)


@pytest.fixture(params=EVERY_ENGINE)
def harness(request):
    return HARNESSES[request.param]()


async def test_next_attempt_succeeds_after_a_death_anywhere(harness, specs):
    """Before, in and after every phase; the last death comes when all files are there: the result is lost."""
    places = [*PHASES, "worker.report_written"]
    if harness.name == "ray":  # the run is the same, and a death costs seconds
        places = [*PHASES[1::2], "worker.report_written"]
    elif harness.name == "ray, files sent":
        places = ["phase.adaptation.step", "worker.report_written"]
    engine = await harness.start(specs, places)
    try:
        for attempt, place in enumerate(places, start=1):
            spec = specs.make("job", attempt)
            with pytest.raises(WorkerLostError):
                await run_through(engine, spec)
            await ready(engine)
            written = {path.name for path in Path(spec.out_dir).glob("report.*")}
            # Files that are sent arrive only with the news of success.
            are_here = place == places[-1] and "sent" not in harness.name
            assert written == ({"report.json", "report.html"} if are_here else set()), place
        spec = specs.make("job", len(places) + 1)
        check_success(spec, await run_through(engine, spec))
        assert (await engine.health()).restarts == len(places)
    finally:
        os.environ.pop("UGOSA_FAILPOINT", None)
        await engine.close()


async def test_closing_ends_a_run_in_progress_and_every_process(harness, specs):
    before = harness.processes()
    engine = await harness.start(specs)
    run = await engine.start(specs.make("job", epochs=ENDLESS))
    async with aclosing(run.events()) as events:
        await reach_adaptation(events)
        await engine.close()
        with pytest.raises(WorkerLostError):
            await read_on(events)
    await until(lambda: harness.processes() == before, "the end of all processes")
