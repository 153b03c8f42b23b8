"""The worker's memory does not grow with the song. What numpy and Python allocate is counted, not RSS.

RSS also has what the C allocator keeps for later; it levels off, but a test cannot tell that from growth.
"""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tiny_model import write_tiny_model
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import JobOptions, RunSpec, RunSucceeded
from ugosa_server.marks import Mark, MarkState
from ugosa_server.pipeline.run import ResidentNetworks, run_job

RATE_HZ = 44100
MARKS = (Mark("vocals", MarkState.SILENT, 0, RATE_HZ),)
ONE_STEM_OF_THE_LONG_SONG_BYTES = 200 * RATE_HZ * 2 * 4


def peak_of_job(folder: Path, seconds: int) -> int:
    """Peak of traced memory in bytes while a job of a song of that length runs."""
    out_dir = folder / f"job of {seconds} s"
    out_dir.mkdir()
    song = folder / f"{seconds}.f32"
    with song.open("wb") as file:
        for second in range(seconds):
            noise = np.random.default_rng(second).normal(0, 0.1, (RATE_HZ, 2))
            file.write(noise.astype("<f4").tobytes())
    spec = RunSpec(
        job_id="job",
        attempt=1,
        source=SourceAudio(str(song), RATE_HZ, 2, seconds * RATE_HZ, "noise", 0.5),
        file_name="noise",
        marks=MARKS,
        options=JobOptions("tiny", adaptation=AdaptationOptions(strategy="P-L3:D", epochs=1)),
        model_path=str(write_tiny_model(folder / "tiny.safetensors")),
        out_dir=str(out_dir),
    )
    networks = ResidentNetworks(WorkerSettings("cpu", threads=1, prefix_cache_bytes=0))
    tracemalloc.start()
    *_, last = run_job(spec, networks, lambda wish: False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(last, RunSucceeded)
    return peak


@pytest.mark.slow
def test_a_song_ten_times_as_long_takes_the_same_memory(tmp_path):
    short, long = peak_of_job(tmp_path, 20), peak_of_job(tmp_path, 200)
    assert long - short < ONE_STEM_OF_THE_LONG_SONG_BYTES / 4
