"""Deletions while another call looks at the same: that call answers as if it came a moment later."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.front import PRINCIPAL, running_front
from tests.helpers.scripted_engine import succeed
from ugosa_server.adaptation.adapter_file import save_adapter
from ugosa_server.adaptation.adapter_keys import AdapterKeys
from ugosa_server.errors import NotFoundError
from ugosa_server.files import sha256_of_file
from ugosa_server.jobs import starts
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.queue import ArrayItem
from ugosa_server.jobs.runs import FinishedFile
from ugosa_server.jobs.spool import Spool
from ugosa_server.marks import Mark, MarkState

pytestmark = pytest.mark.asyncio

MARKS = (Mark("vocals", MarkState.SILENT, 0, 1000),)
GO_ON = JobOptionsRequest(others={"start_from": "auto"})


def learn(spec):
    """Succeed with an adapter, from which another job can start."""
    path = Path(spec.out_dir) / "adapter.safetensors"
    model_sha256, strategy = sha256_of_file(Path(spec.model_path)), spec.options.adaptation.strategy
    save_adapter(path, {}, AdapterKeys(model_sha256, spec.source.sha256, "", strategy))
    return replace(succeed(spec), adapter=FinishedFile.at(path))


@contextlib.asynccontextmanager
async def learned(tmp_path):
    """A front, a song, and a job that has learned from it."""
    async with running_front(tmp_path, [learn]) as front:
        upload = await front.upload()
        job = await front.jobs.create(PRINCIPAL, "first", upload.upload_id, JobOptionsRequest(), MARKS)
        await front.events(job.job_id)
        yield front, upload, job


def then_deleting(front, job, function):
    """A function of a thread, after whose first call a job is deleted."""
    loop, jobs = asyncio.get_running_loop(), [job]

    def call(*arguments):
        result = function(*arguments)
        while jobs:
            deleting = front.jobs.delete(PRINCIPAL, jobs.pop().job_id)
            asyncio.run_coroutine_threadsafe(deleting, loop).result()
        return result

    return call


@pytest.mark.parametrize(("place", "name"), [(starts, "read_adapter_keys"), (Spool, "check_free")])
async def test_a_start_that_goes_meanwhile_is_done_without(tmp_path, monkeypatch, place, name):
    async with learned(tmp_path) as (front, upload, job):
        warm = await front.jobs.create(PRINCIPAL, "warm", upload.upload_id, GO_ON, MARKS)
        assert warm.options.start_from == job.job_id
        await front.events(warm.job_id)
        await front.jobs.delete(PRINCIPAL, warm.job_id)
        monkeypatch.setattr(place, name, then_deleting(front, job, getattr(place, name)))
        cold = await front.jobs.create(PRINCIPAL, "cold", upload.upload_id, GO_ON, MARKS)
        assert cold.options.start_from == "none"


async def test_an_array_does_without_a_start_that_goes_meanwhile(tmp_path, monkeypatch):
    async with learned(tmp_path) as (front, upload, job):
        monkeypatch.setattr(Spool, "check_free", then_deleting(front, job, Spool.check_free))
        item = ArrayItem(upload.upload_id, GO_ON, MARKS)
        (job_id,) = (await front.jobs.create_array(PRINCIPAL, "array", [item])).job_ids
        assert (await front.jobs.get(PRINCIPAL, job_id)).options.start_from == "none"


async def test_a_song_that_goes_meanwhile_is_not_found(tmp_path, monkeypatch):
    async with running_front(tmp_path) as front:
        upload = await front.upload()
        loop, check_free = asyncio.get_running_loop(), Spool.check_free

        def check_and_delete(*arguments):
            deleting = front.uploads.delete(PRINCIPAL, upload.upload_id)
            asyncio.run_coroutine_threadsafe(deleting, loop).result()
            return check_free(*arguments)

        monkeypatch.setattr(Spool, "check_free", check_and_delete)
        with pytest.raises(NotFoundError, match="no upload"):
            await front.jobs.create(PRINCIPAL, "r", upload.upload_id, GO_ON, MARKS)


async def test_stems_that_go_meanwhile_are_not_found(tmp_path, monkeypatch, caplog):
    async with learned(tmp_path) as (front, _, job):
        stat, delete = Path.stat, then_deleting(front, job, lambda: None)

        def stat_once_it_is_gone(self, **options):
            if self.name == "stem-0.wav":
                delete()
            return stat(self, **options)

        monkeypatch.setattr(Path, "stat", stat_once_it_is_gone)
        with pytest.raises(NotFoundError, match="no job"):
            await front.jobs.results.stem_file(PRINCIPAL, job.job_id, "drums")
        assert "damaged" not in caplog.text
