"""A budget of memory is kept by the system, and costs smaller pieces or the job, never more memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.songs import make_song, write_song
from ugosa_client import JobFailedError, JobOptions, Notice, SeparationRequest

RATE = 44100
LONG = JobOptions(model="tiny", strategy="B0", separation_segment_s=60.0)
BUDGET_BYTES = 500_000_000
SHARED_BYTES = 250_000_000  # libraries, which the system counts as resident


@pytest.fixture
def song(tmp_path):
    """A minute, which the tiny network takes some 0.9 GB for in one piece."""
    return write_song(make_song(60 * RATE, RATE), tmp_path / "song.wav")


def peak_bytes(server):
    lines = Path(f"/proc/{server.worker().pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def run(client, song, options, out):
    notices = []

    def happened(event):
        if isinstance(event, Notice):
            notices.append((event.reason, event.message))

    separation = client.separate(SeparationRequest(song, options=options), out, on_event=happened)
    return separation, notices


@pytest.mark.parametrize("of_job", [True, False], ids=["job", "server"])
def test_a_budget_is_kept_by_smaller_pieces(start_server, song, tmp_path, of_job):
    server = start_server(*([] if of_job else ["--memory-bytes", str(BUDGET_BYTES)]), "--threads", "1")
    options = replace(LONG, max_memory_bytes=BUDGET_BYTES) if of_job else LONG
    with server.client() as client:
        separation, notices = run(client, song, options, tmp_path / "out")
        assert peak_bytes(server) < BUDGET_BYTES + SHARED_BYTES
        reason, message = notices[0]
        assert reason == "CPU_MEMORY"
        assert (
            "500 MB of memory are too little for separation in segments of 60 s: going on with 30 s"
            in message
        )
        if of_job:
            unbounded, none = run(client, song, LONG, tmp_path / "all")
            assert none == []
            assert peak_bytes(server) > BUDGET_BYTES + SHARED_BYTES
            used = float(notices[-1][1].split("going on with ")[1].split()[0])
            same, _ = run(client, song, replace(LONG, separation_segment_s=used), tmp_path / "same")
            for source, path in separation.files.stems.items():
                assert path.read_bytes() == same.files.stems[source].read_bytes()
            assert not np.array_equal(
                separation.files.stems["drums"].read_bytes(), unbounded.files.stems["drums"].read_bytes()
            )


def test_a_budget_below_what_is_held_fails_that_job_alone(start_server, song, tmp_path):
    with start_server("--threads", "1").client() as client:
        tiny = replace(LONG, separation_segment_s=2.0, max_memory_bytes=50_000_000)
        with pytest.raises(JobFailedError, match=r"50 MB of memory, but .* MB are held") as caught:
            run(client, song, tiny, tmp_path / "out")
        assert (caught.value.reason, caught.value.job.attempt) == ("MEMORY_BUDGET", 1)
        separation, _ = run(client, song, replace(tiny, max_memory_bytes=None), tmp_path / "out")
        assert len(separation.files.stems) == 4
