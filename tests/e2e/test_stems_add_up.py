"""The stems of a job add up to its song, at the song's rate, channels and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.jobs import QUICK, silent
from tests.helpers.songs import SOURCES, make_song, peak_dbfs, read_audio, write_song
from ugosa_client import JobOptions, SeparationRequest, StemEncoding, UgosaClient

FLOAT_NULL_DBFS = -140.0
PCM24_STEP = 2.0**-23


def summed(stems: dict[str, Path]) -> np.ndarray:
    return sum(read_audio(path) for path in stems.values())


@pytest.mark.parametrize(
    ("subtype", "sample_rate_hz", "channels"),
    [("PCM_16", 44100, 1), ("PCM_24", 48000, 2), ("FLOAT", 96000, 1), ("FLOAT", 44100, 2)],
)
def test_stems_null_against_the_mix(
    client: UgosaClient, tmp_path: Path, subtype: str, sample_rate_hz: int, channels: int
):
    song = make_song(sample_rate_hz + 7, sample_rate_hz, channels)
    path = write_song(song, tmp_path / "song.wav", subtype)
    marks = [silent("vocals", song.frame(0.3), song.frame(0.6))]
    result = client.separate(SeparationRequest(path, marks=marks, options=QUICK), tmp_path / "stems")
    mix = read_audio(path)
    residue_dbfs = peak_dbfs(summed(result.files.stems) - mix)
    assert residue_dbfs == -np.inf if subtype.startswith("PCM") else residue_dbfs <= FLOAT_NULL_DBFS
    for stem in result.files.stems.values():
        info = soundfile.info(stem)
        assert (info.samplerate, info.channels, info.frames) == (sample_rate_hz, channels, song.frames)


@pytest.mark.parametrize("frames", [1, 44099, 321930], ids=["one-frame", "1s-1", "7.3s"])
def test_lengths_that_fit_no_segment_come_back_exactly(client: UgosaClient, tmp_path: Path, frames: int):
    song = make_song(frames)
    path = write_song(song, tmp_path / "song.wav", "PCM_24")
    marks = [silent("drums", 0, frames // 2)] if frames > 1 else [silent("drums", 0, 1)]
    result = client.separate(SeparationRequest(path, marks=marks, options=QUICK), tmp_path / "stems")
    np.testing.assert_array_equal(summed(result.files.stems), read_audio(path))


def test_a_path_with_spaces_and_foreign_letters_is_a_path(client: UgosaClient, tmp_path: Path):
    folder = tmp_path / "Meine Lieder - 曲"
    folder.mkdir()
    path = write_song(make_song(30000), folder / "Ñandú & ça va?.wav", "PCM_24")
    result = client.separate(SeparationRequest(path, options=QUICK), folder / "die Spuren é")
    np.testing.assert_array_equal(summed(result.files.stems), read_audio(path))
    assert result.job.file_name == path.name


@pytest.mark.parametrize("encoding", [StemEncoding.WAV_PCM24, StemEncoding.FLAC_PCM24])
def test_integer_stems_null_too(client: UgosaClient, tmp_path: Path, encoding: StemEncoding):
    path = write_song(make_song(50000), tmp_path / "song.wav", "PCM_24")
    marks = [silent("bass", 10000, 30000)]
    options = JobOptions(epochs=1, stem_encoding=encoding)
    result = client.separate(SeparationRequest(path, marks=marks, options=options), tmp_path / "stems")
    assert all(soundfile.info(stem).subtype == "PCM_24" for stem in result.files.stems.values())
    np.testing.assert_array_equal(summed(result.files.stems), read_audio(path))


def test_stems_come_in_the_model_s_order_as_float_wav(client: UgosaClient, tmp_path: Path):
    path = write_song(make_song(20000), tmp_path / "song.wav")
    result = client.separate(SeparationRequest(path, options=QUICK), tmp_path / "stems")
    assert [stem.source for stem in result.job.stems] == list(SOURCES)
    assert [path.name for path in result.files.stems.values()] == [f"{source}.wav" for source in SOURCES]
    assert {soundfile.info(stem).subtype for stem in result.files.stems.values()} == {"FLOAT"}
