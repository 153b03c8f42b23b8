"""A song that has decayed on disk is noticed, never used, and can be sent once more under its old request."""

import pytest

from tests.helpers.front import PRINCIPAL, running_front, wav_bytes
from tests.helpers.scripted_engine import progress
from ugosa_server.errors import UploadDamagedError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import UploadFormat, UploadState
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.runs import RunFailed
from ugosa_server.jobs.uploads import ReceivedChunk

pytestmark = pytest.mark.asyncio

SONG = wav_bytes()


async def send(front):
    """Send the song as a client does: under an id of its bytes, from where the server says."""
    upload = await front.uploads.create(PRINCIPAL, "song", UploadFormat(file_name="a.wav"), len(SONG))
    if upload.state is UploadState.COMPLETE:
        return upload
    async with front.uploads.open(PRINCIPAL, upload.upload_id) as opened:
        await opened.write([ReceivedChunk(opened.committed_size, SONG[opened.committed_size :], None)])
        return await opened.finish(len(SONG), "")


async def submit(front, upload, request_id="r"):
    return await front.jobs.create(PRINCIPAL, request_id, upload.upload_id, JobOptionsRequest(), ())


def lose(path):
    path.unlink()


def shorten(path):
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("damage", [lose, shorten])
@pytest.mark.parametrize("noticed_by", ["upload", "job"])
async def test_a_damaged_song_can_be_sent_again(tmp_path, damage, noticed_by):
    async with running_front(tmp_path) as front:
        upload = await send(front)
        path = front.spool.audio_path(upload.upload_id)
        whole = path.read_bytes()
        damage(path)
        if noticed_by == "job":
            with pytest.raises(UploadDamagedError, match="send it again"):
                await submit(front, upload)
        again = await send(front)
        assert again.upload_id == upload.upload_id
        assert path.read_bytes() == whole
        job = await submit(front, again)
        await front.events(job.job_id)
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).state is JobState.SUCCEEDED


async def test_damage_that_a_job_finds_can_be_sent_again(tmp_path):
    damaged = RunFailed("UPLOAD_DAMAGED", "the song on the server's disk has changed since it was sent")
    async with running_front(tmp_path, [progress(1), damaged]) as front:
        upload = await send(front)
        job = await submit(front, upload)
        await front.events(job.job_id)
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).error.reason == "UPLOAD_DAMAGED"
        assert (await front.uploads.get(PRINCIPAL, upload.upload_id)).state is UploadState.RECEIVING
        job = await submit(front, await send(front), "s")
        await front.events(job.job_id)
        assert (await front.jobs.get(PRINCIPAL, job.job_id)).state is JobState.SUCCEEDED
