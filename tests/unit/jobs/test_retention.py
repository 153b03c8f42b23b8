"""Old songs and jobs that nobody needs are swept; those of live jobs never are."""

import asyncio
import dataclasses
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.front import PRINCIPAL, running_front, wav_bytes
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import RetentionSettings
from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.model import JobDraft, UploadFormat
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.retention import S_PER_DAY, believed_time_s, keep_sweeping, sweep
from ugosa_server.jobs.runs import FinishedFile, JobOptions
from ugosa_server.jobs.store import Store

AUDIO = SourceAudio("/spool/audio.f32", 48000, 2, 96000, "WAV PCM_24", 0.5)
OPTIONS = RetentionSettings()


async def make_job(front, upload, request_id="r"):
    return await front.jobs.create(PRINCIPAL, request_id, upload.upload_id, JobOptionsRequest(), ())


def in_days(days):
    return time.time() + days * S_PER_DAY


def kept(front):
    return sorted(path.name for path in front.spool.upload_dir("x").parent.iterdir()), sorted(
        path.name for path in front.spool.attempt_dir("x", 1).parent.parent.iterdir()
    )


def test_a_job_and_its_song_go_with_their_files_after_their_days(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            upload = await front.upload()
            job = await make_job(front, upload)
            await front.events(job.job_id)
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(6.9)) == (0, 0)
            assert kept(front) == ([upload.upload_id], [job.job_id])
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(7.1)) == (1, 0)
            assert kept(front) == ([], [job.job_id])
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(30.1)) == (0, 1)
            assert kept(front) == ([], [])
            with pytest.raises(NotFoundError):
                await front.jobs.get(PRINCIPAL, job.job_id)

    asyncio.run(run())


def adapted(spec):
    (Path(spec.out_dir) / "adapter.safetensors").write_bytes(b"learned")
    return dataclasses.replace(succeed(spec), adapter=FinishedFile("adapter.safetensors", 7, "ab" * 32))


def test_an_adapter_outlives_the_stems_of_its_job(tmp_path):
    async def run():
        async with running_front(tmp_path, [adapted]) as front:
            upload = await front.upload()
            job = await make_job(front, upload)
            await front.events(job.job_id)
            await front.store(lambda s: s.jobs.star(PRINCIPAL, job.job_id, starred=True))
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(30.1)) == (1, 0)
            assert len((await front.jobs.get(PRINCIPAL, job.job_id)).result.stems) == 4
            await front.store(lambda s: s.jobs.star(PRINCIPAL, job.job_id, starred=False))
            for _ in range(2):  # the second sweep finds nothing more to do
                assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(30.1)) == (0, 0)
                (left,) = front.spool.attempt_dir(job.job_id, 1).iterdir()
                assert left.read_bytes() == b"learned"
            swept = await front.jobs.get(PRINCIPAL, job.job_id)
            assert (swept.result.stems, swept.result.adapter.size_bytes) == ((), 7)
            assert (await front.jobs.results.adapter_file(PRINCIPAL, job.job_id)).size_bytes == 7
            for read in (
                front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums"),
                front.jobs.results.report_file(PRINCIPAL, job.job_id, html=False),
            ):
                with pytest.raises(NotFoundError, match=f"start_from {job.job_id} and epochs 0"):
                    await read
            again = await make_job(front, await front.upload())  # the same request_id
            assert again.job_id != job.job_id
            await front.events(again.job_id)
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(180.1)) == (1, 2)
            assert kept(front) == ([], [])

    asyncio.run(run())


def test_a_job_whose_folder_is_gone_stops_no_sweep(tmp_path):
    async def run():
        async with running_front(tmp_path, [adapted], [adapted]) as front:
            upload = await front.upload()
            jobs = [await make_job(front, upload, name) for name in ("first", "second")]
            for job in jobs:
                await front.events(job.job_id)
            front.spool.delete_job(jobs[0].job_id)
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(30.1)) == (1, 0)
            (left,) = front.spool.attempt_dir(jobs[1].job_id, 1).iterdir()
            assert left.read_bytes() == b"learned"

    asyncio.run(run())


def test_the_song_of_a_live_job_is_never_swept(tmp_path):
    async def run():
        gate = Gate()
        async with running_front(tmp_path, [progress(1), gate, succeed]) as front:
            upload = await front.upload()
            running = await make_job(front, upload)
            await gate.reached.wait()
            waiting_for = await front.upload(wav_bytes(seed=1))
            waiting = await make_job(front, waiting_for, "s")
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(1000)) == (0, 0)
            gate.open()
            await front.events(running.job_id)
            await front.events(waiting.job_id)
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(1000)) == (2, 2)

    asyncio.run(run())


def test_an_unfinished_song_is_swept_unless_it_is_being_sent(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            upload = await front.uploads.create(PRINCIPAL, "r", UploadFormat(), 0)
            async with front.uploads.open(PRINCIPAL, upload.upload_id):
                assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(8)) == (0, 0)
            assert await sweep(front.uploads, front.jobs, OPTIONS, in_days(8)) == (1, 0)
            assert kept(front) == ([], [])

    asyncio.run(run())


def test_zero_days_keep_for_ever(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            await front.events((await make_job(front, await front.upload())).job_id)
            for_ever = RetentionSettings(keep_jobs_days=0, keep_adapters_days=0, keep_uploads_days=0)
            assert await sweep(front.uploads, front.jobs, for_ever, in_days(10_000)) == (0, 0)

    asyncio.run(run())


def test_a_job_whose_song_went_in_between_is_refused(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            upload = await front.upload()
            job = await make_job(front, upload)
            await front.events(job.job_id)
            await front.uploads.delete(PRINCIPAL, upload.upload_id)
            with pytest.raises(NotFoundError):
                await front.store(
                    lambda s: s.jobs.create("job-2", "s", "digest", JobDraft(upload, job.options, job.marks))
                )

    asyncio.run(run())


def test_a_server_sweeps_when_it_starts(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            await front.upload()
            at_once = dataclasses.replace(OPTIONS, keep_uploads_days=1e-9)
            sweeping = asyncio.create_task(keep_sweeping(front.uploads, front.jobs, at_once))
            async with asyncio.timeout(60):
                while kept(front) != ([], []):
                    await asyncio.sleep(0)
            sweeping.cancel()

    asyncio.run(run())


def test_jumping_clock_sweeps_nothing_until_proved_right():
    day_s = S_PER_DAY
    store = Store(Path(":memory:"))
    try:
        store.uploads.create("u", "local", "r", "d", UploadFormat())
        now_s = time.time()
        assert store.clock.believe(now_s + 0.5 * day_s)
        assert store.clock.believe(now_s + 1.4 * day_s), "a day after a time that was believed"
        in_2038_s = now_s + 12 * 365 * day_s
        assert not store.clock.believe(in_2038_s)
        assert not store.clock.believe(in_2038_s + 3600)
        assert store.clock.believe(now_s + 1.5 * day_s), "it was wrong for a moment"
        assert not store.clock.believe(in_2038_s), "and is doubted anew"
        assert not store.clock.believe(0.0)
        assert store.clock.believe(now_s + 1.6 * day_s)
        back_in_weeks_s = now_s + 30 * day_s
        assert not store.clock.believe(back_in_weeks_s), "the server was off"
        assert store.clock.believe(back_in_weeks_s + day_s), "and a day later this is the time"
    finally:
        store.close()


@pytest.mark.parametrize("off_days", [0, 90])
@pytest.mark.parametrize("behind_days", [2, 20_000])
def test_what_came_while_the_clock_was_behind_is_kept(behind_days, off_days):
    """A machine without a battery for its clock wakes up in the past, and is set right later."""
    day_s = S_PER_DAY
    store = Store(Path(":memory:"))
    try:
        began_s = time.time()
        store.uploads.create("first", "local", "first", "d", UploadFormat())
        assert store.clock.believe(began_s)
        wake_s = began_s - behind_days * day_s
        for hour in range(30):  # longer than the day that proves a clock
            with clock(max(0.0, wake_s) + 3600 * hour):
                store.clock.believe(time.time())
                store.uploads.create(f"u{hour}", "local", f"u{hour}", "d", UploadFormat())
        set_right_s = began_s + (off_days + 1.5) * day_s
        with clock(set_right_s):
            if not store.clock.believe(time.time()):
                assert store.clock.believe(set_right_s + day_s)
            store.uploads.delete_unused(set_right_s + day_s - 30 * day_s, set())
        kept_ids = store.uploads.all_ids()
        assert {f"u{hour}" for hour in range(30)} <= kept_ids
        assert all(store.uploads.get("local", id_).create_time_s >= began_s for id_ in kept_ids)
    finally:
        store.close()


def test_any_clock_is_believed_where_there_is_nothing_yet():
    store = Store(Path(":memory:"))
    assert store.clock.believe(time.time())
    store.close()


def test_a_wrong_clock_deletes_nothing(tmp_path):
    async def run():
        async with running_front(tmp_path) as front:
            await front.upload()
            before = kept(front)
            with clock(in_days(10_000)):
                assert await believed_time_s(front.store) is None
                sweeping = asyncio.create_task(keep_sweeping(front.uploads, front.jobs, OPTIONS))
                for _ in range(5):
                    await front.store(lambda s: s.uploads.all_ids())  # turns of the store after the sweep's
                sweeping.cancel()
            assert kept(front) == before

    asyncio.run(run())


def clock(time_s):
    return mock.patch("time.time", return_value=float(time_s))


times = st.integers(min_value=0, max_value=20)
job_ends = st.lists(st.none() | times, max_size=3)


@given(songs=st.lists(st.tuples(times, job_ends, st.booleans()), max_size=6), before=times)
def test_the_sweep_is_the_rule(songs, before):
    store = Store(Path(":memory:"))
    try:
        expected = set()
        for number, (made, ends, being_written) in enumerate(songs):
            upload_id = f"u{number}"
            with clock(made):
                store.uploads.create(upload_id, "local", upload_id, "d", UploadFormat())
            store.uploads.complete(upload_id, "ab" * 32, AUDIO)
            draft = JobDraft(store.uploads.get("local", upload_id), JobOptions("tiny"), ())
            for job, end in enumerate(ends):
                job_id = f"{upload_id}-{job}"
                store.jobs.create(job_id, job_id, "d", draft)
                if end is not None:
                    with clock(end):
                        store.jobs.request_cancel("local", job_id)
            unneeded = all(end is not None and end < before for end in ends)
            if made < before and unneeded and not being_written:
                expected.add(upload_id)
        being_written = {f"u{number}" for number, song in enumerate(songs) if song[2]}
        assert set(store.uploads.delete_unused(float(before), being_written)) == expected
        assert store.uploads.all_ids() == {f"u{number}" for number in range(len(songs))} - expected
    finally:
        store.close()
