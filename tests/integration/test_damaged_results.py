"""Finished files that have decayed on disk are told as damaged, and never taken for a job's result."""

import os

import pytest

from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.scripted_engine import progress, succeed
from ugosa_server.errors import ResultDamagedError
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.runs import RunSucceeded

pytestmark = pytest.mark.asyncio


def lose(path):
    path.unlink()


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


async def finished(front, upload, request_id="r", **how):
    job = await front.jobs.create(PRINCIPAL, request_id, upload.upload_id, JobOptionsRequest(), (), **how)
    await front.events(job.job_id)
    return await front.jobs.get(PRINCIPAL, job.job_id)


async def test_a_decayed_stem_is_told_and_never_reused(tmp_path):
    async with running_front(tmp_path, *[[progress(1), succeed]] * 5) as front:
        upload = await front.upload()
        for number, damage in enumerate((lose, shorten, replace_by_a_pipe, replace_by_a_folder)):
            job = await finished(front, upload, f"r{number}", reuse=True)
            assert (await finished(front, upload, f"again {number}", reuse=True)).job_id == job.job_id
            damage(front.spool.attempt_dir(job.job_id, job.attempt) / job.result.stems[0].file_name)
            with pytest.raises(ResultDamagedError, match=r"stem-0\.wav of job .* is gone or damaged; delete"):
                await front.jobs.results.stem_file(PRINCIPAL, job.job_id, job.result.stems[0].source)
            assert (await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "bass")).size_bytes > 0


async def test_a_lost_report_is_told(tmp_path):
    async with running_front(tmp_path) as front:
        job = await finished(front, await front.upload())
        lose(front.spool.attempt_dir(job.job_id, job.attempt) / "report.json")
        with pytest.raises(ResultDamagedError, match=r"report\.json"):
            await front.jobs.results.report_file(PRINCIPAL, job.job_id, html=False)


@pytest.mark.parametrize("data", [b"", b"junk", b'{"model_sha256": 5}', b"\xff"])
async def test_damaged_levels_count_as_no_analysis(tmp_path, data):
    script = [progress(1), RunSucceeded((), "", "", "levels.json")]
    async with running_front(tmp_path, script) as front:
        upload = await front.upload()
        job = await finished(front, upload)
        (front.spool.attempt_dir(job.job_id, job.attempt) / "levels.json").write_bytes(data)
        analysis = await front.jobs.results.find_analysis(PRINCIPAL, upload.upload_id, "tiny")
        assert (analysis.job, analysis.levels) == (None, None)
