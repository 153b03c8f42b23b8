"""Songs come as raw samples or as a file of any accepted format, and stems fit them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.jobs import QUICK, silent
from tests.helpers.songs import make_song, peak_dbfs, read_audio, write_m4a, write_song
from ugosa_client import SeparationRequest, UgosaClient

SONG = make_song(60000, seed=3)
MARKS = [silent("other", 20000, 40000)]


@pytest.mark.parametrize(("name", "subtype"), [("song.flac", "PCM_24"), ("song.aiff", "PCM_16")])
def test_lossless_files_null_exactly(client: UgosaClient, tmp_path: Path, name: str, subtype: str):
    path = write_song(SONG, tmp_path / name, subtype)
    result = client.separate(SeparationRequest(path, marks=MARKS, options=QUICK), tmp_path / "stems")
    np.testing.assert_array_equal(
        sum(read_audio(stem) for stem in result.files.stems.values()), read_audio(path)
    )


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("song.mp3", "MPEG_LAYER_III"), ("song.ogg", "VORBIS"), ("song.ogg", "OPUS"), ("song.m4a", "AAC")],
    ids=["mp3", "ogg-vorbis", "ogg-opus", "m4a"],
)
def test_lossy_files_give_stems_of_the_decoded_song(
    client: UgosaClient, tmp_path: Path, name: str, subtype: str
):
    song = SONG if subtype != "OPUS" else make_song(60000, 48000, seed=3)
    path = tmp_path / name
    if subtype == "AAC":
        write_m4a(song, path)
    else:
        write_song(song, path, subtype)
    result = client.separate(SeparationRequest(path, marks=MARKS, options=QUICK), tmp_path / "stems")
    decoded = sum(read_audio(stem) for stem in result.files.stems.values())
    assert result.job.audio is not None
    assert (result.job.audio.sample_rate_hz, result.job.audio.channels) == (song.sample_rate_hz, 2)
    assert len(decoded) == result.job.audio.frames
    assert abs(len(decoded) - song.frames) <= 2048, "a codec pads by at most a few of its frames"
    if subtype != "AAC":  # libsndfile reads no AAC
        reference = soundfile.read(path, dtype="float64", always_2d=True)[0]
        common = slice(0, min(len(reference), len(decoded)))
        assert peak_dbfs(decoded[common] - reference[common]) <= -90.0


def test_the_bytes_decide_what_a_file_is_and_not_its_name(client: UgosaClient, tmp_path: Path):
    path = write_song(SONG, tmp_path / "really a flac.wav", "PCM_16", container="FLAC")
    result = client.separate(SeparationRequest(path, options=QUICK), tmp_path / "stems")
    assert result.job.audio is not None
    assert result.job.audio.encoding.startswith("FLAC")


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_raw_samples_null_too(client: UgosaClient, tmp_path: Path, dtype: type):
    samples = SONG.samples if dtype is np.float32 else np.round(SONG.samples * 32767)
    samples = samples.astype(dtype)
    result = client.separate(
        SeparationRequest(samples, marks=MARKS, options=QUICK, sample_rate_hz=SONG.sample_rate_hz),
        tmp_path / "stems",
    )
    total = sum(read_audio(stem) for stem in result.files.stems.values())
    expected = samples.astype(np.float64) / (1 if dtype is np.float32 else 32768)
    assert peak_dbfs(total - expected) <= (-140.0 if dtype is np.float32 else -np.inf)
