"""Work that waits for the store at the same time is committed together; each piece stands for itself."""

import asyncio
import threading

import apsw
import pytest

from ugosa_server.errors import DiskFullError
from ugosa_server.jobs.model import UploadFormat
from ugosa_server.jobs.store import AsyncStore, Store

pytestmark = pytest.mark.asyncio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.sqlite"


@pytest.fixture
def connections():
    """Connections of SQLite, as they are opened."""
    opened = []
    apsw.connection_hooks.append(opened.append)
    yield opened
    apsw.connection_hooks.remove(opened.append)


def upload(name):
    return lambda store: store.uploads.create(name, "me", name, "", UploadFormat()).upload_id


def broken(name):
    def work(store):
        upload(name)(store)
        raise LookupError(name)

    return work


async def together(store, *works):
    """Have all of them wait before the first is done."""
    held = threading.Event()
    first = asyncio.create_task(store(lambda s: held.wait(60)))
    tasks = [asyncio.create_task(store(work)) for work in works]
    await asyncio.sleep(0)
    held.set()
    await asyncio.wait([first])
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_gets_its_own_result_in_order(path):
    store = AsyncStore(path)
    assert await together(store, *(upload(str(n)) for n in range(600))) == [str(n) for n in range(600)]
    store.close()
    reopened = Store(path)
    assert reopened.uploads.all_ids() == {str(n) for n in range(600)}
    reopened.close()


async def test_work_that_fails_is_undone_alone(path):
    store = AsyncStore(path)
    results = await together(store, upload("a"), broken("b"), upload("c"))
    assert results[::2] == ["a", "c"]
    assert isinstance(results[1], LookupError)
    assert await store(lambda s: s.uploads.all_ids()) == {"a", "c"}
    store.close()


async def test_a_result_is_given_only_when_it_is_committed(path):
    store = AsyncStore(path)
    seen = []
    for name in await together(store, *(upload(str(n)) for n in range(20))):
        reader = Store(path)
        seen.append(name in reader.uploads.all_ids())
        reader.close()
    assert all(seen)
    store.close()


async def test_a_commit_that_fails_fails_all_and_leaves_nothing(path, connections):
    store = AsyncStore(path)
    fails = threading.Event()

    await store(lambda s: connections[0].set_commit_hook(fails.is_set))
    fails.set()
    results = await together(store, upload("a"), upload("b"))
    assert [type(result) for result in results] == [apsw.ConstraintError] * 2
    fails.clear()
    assert await store(lambda s: s.uploads.all_ids()) == set()
    store.close()


async def test_work_that_does_not_fit_the_disk_fails_alone(path, connections):
    store = AsyncStore(path)
    await store(upload("a"))
    await store(lambda s: connections[0].pragma("max_page_count", connections[0].pragma("page_count")))
    read, large, small, again = await together(
        store, lambda s: s.uploads.all_ids(), upload("x" * 50_000), upload("b"), lambda s: s.uploads.all_ids()
    )
    assert isinstance(large, DiskFullError)
    assert (read, small, again) == ({"a"}, "b", {"a", "b"})
    assert await store(lambda s: s.uploads.all_ids()) == {"a", "b"}
    store.close()


async def test_news_of_others_are_told_though_they_are_read_twice(path, connections):
    store, other = AsyncStore(path), Store(path)
    before = await store(lambda s: s.version())
    upload("a")(other)
    other.close()
    await store(lambda s: connections[0].pragma("max_page_count", connections[0].pragma("page_count")))
    version, large = await together(store, lambda s: s.version(), upload("x" * 50_000))
    assert isinstance(large, DiskFullError), "all is done once more, each by itself"
    assert version != before
    assert await store(lambda s: s.version()) == version
    store.close()


async def test_one_that_has_gone_does_not_hold_up_the_others(path):
    store = AsyncStore(path)
    gone = asyncio.create_task(store(upload("a")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await store(upload("b")) == "b"
    assert await store(lambda s: s.uploads.all_ids()) == {"a", "b"}
    store.close()


async def test_a_lock_of_another_process_stops_no_other_thread(path):
    store = AsyncStore(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.2, other.execute, "COMMIT")  # only if this thread can go on
    assert await store(upload("a")) == "a"
    other.close()
    store.close()
