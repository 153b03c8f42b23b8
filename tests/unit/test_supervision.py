"""A background task that ends, for whatever reason, is reported; one that is cancelled is not."""

import asyncio

import pytest

from ugosa_server.supervision import Supervisor, keep_running


async def fails():
    raise ZeroDivisionError("division by zero")


async def returns():
    pass


@pytest.mark.parametrize(
    ("work", "said"),
    [(fails, "'pump' failed: ZeroDivisionError: division by zero"), (returns, "'pump' ended")],
)
def test_a_task_that_ends_is_reported(work, said):
    async def run():
        supervisor = Supervisor()
        keep_running(work(), "pump")
        async with asyncio.timeout(60):
            await supervisor.failed.wait()
        assert said in supervisor.failure

    asyncio.run(run())


def test_a_cancelled_task_is_not_reported():
    async def run():
        supervisor = Supervisor()
        task = keep_running(asyncio.Event().wait(), "pump")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not supervisor.failed.is_set()

    asyncio.run(run())
