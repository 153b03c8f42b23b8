"""A worker and its run, as the front process sees them."""

import asyncio

import pytest

from tests.helpers.run_specs import RunSpecs
from ugosa_server.engines.worker import Worker
from ugosa_server.jobs import RunCancelled


class ObedientWorker(Worker):
    """Ends its run in the very moment in which the time for it is over."""

    def __init__(self):
        super().__init__("worker", 1.0, lambda: None)
        self.ends = []

    async def _start(self):
        raise NotImplementedError

    async def _live(self):
        raise NotImplementedError

    def _begin(self, run):
        pass

    def ask(self, spec, wish):
        asyncio.get_running_loop().call_soon(self._take, self.current, RunCancelled())

    def end(self, reason):
        self.ends.append(reason)


@pytest.mark.asyncio
async def test_a_cancel_that_ends_in_time_costs_no_worker(tmp_path):
    worker = ObedientWorker()
    run = worker.run(RunSpecs(tmp_path).make("job"))
    await run.cancel(deadline_s=0.0)
    assert [event async for event in run.events()] == [RunCancelled()]
    assert worker.ends == []
