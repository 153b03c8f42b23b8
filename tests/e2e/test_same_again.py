"""Jobs do not change the network, and the same job gives the same bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.helpers.jobs import LONG, silent, wait_for_adaptation
from tests.helpers.songs import make_song, write_song
from ugosa_client import Job, JobOptions, UgosaClient

ADAPTING = JobOptions(epochs=2, seed=7, learning_rate=1e-2)
BASE = JobOptions(strategy="B0")


def run(client: UgosaClient, upload_id: str, options: JobOptions) -> Job:
    marks = [silent("vocals", 10000, 30000)]
    job = client.create_job(upload_id, marks=marks, options=options)
    for _ in client.watch(job.job_id):
        pass
    return client.get_job(job.job_id)


def digests(job: Job) -> dict[str, str]:
    assert job.stems, job.failure
    return {stem.source: stem.sha256 for stem in job.stems}


def test_the_base_weights_are_the_same_before_and_after_any_job(
    client: UgosaClient, model_dir: Path, tmp_path: Path
):
    checkpoint = model_dir / "tiny.safetensors"
    file_before = hashlib.sha256(checkpoint.read_bytes()).digest()
    upload_id = client.upload(write_song(make_song(50000), tmp_path / "song.wav")).upload_id
    before = digests(run(client, upload_id, BASE))
    adapted = digests(run(client, upload_id, ADAPTING))
    assert adapted != before, "the adaptation changed nothing, so this test would see nothing"
    assert digests(run(client, upload_id, BASE)) == before
    long_job = client.create_job(upload_id, marks=[silent("vocals", 10000, 30000)], options=LONG)
    wait_for_adaptation(client, long_job.job_id)
    client.cancel(long_job.job_id)
    assert digests(run(client, upload_id, BASE)) == before
    assert hashlib.sha256(checkpoint.read_bytes()).digest() == file_before


def test_two_runs_with_the_same_seed_are_bit_identical(client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(5 * 44100), tmp_path / "song.wav")).upload_id
    assert digests(run(client, upload_id, ADAPTING)) == digests(run(client, upload_id, ADAPTING))
