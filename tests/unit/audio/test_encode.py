"""Stems are written exactly, whole or not at all, and the same samples give the same bytes."""

import hashlib
import os
import resource

import numpy as np
import pytest
import soundfile

from ugosa_server.audio.encode import RIFF_MAX_BYTES, StemWriter, WrittenAudio, read_blocks
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.errors import BadOptionError, DiskFullError

RATE_HZ = 48_000
FULL_SCALE_24 = 1 - 2.0**-23


def write(path, encoding: StemEncoding, samples: np.ndarray, block_frames: int = 1000) -> WrittenAudio:
    with StemWriter(path, encoding, RATE_HZ, samples.shape[1], len(samples)) as writer:
        for start in range(0, len(samples), block_frames):
            writer.write(samples[start : start + block_frames])
        return writer.finish()


def read(path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path))).astype(np.float64)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", [StemEncoding.WAV_PCM24, StemEncoding.FLAC_PCM24])
def test_24_bit_files_hold_every_value_of_their_grid_exactly(tmp_path, encoding, channels):
    steps = np.random.default_rng(0).integers(-(2**23), 2**23, (30_000, channels))
    steps[0], steps[1] = -(2**23), 2**23 - 1
    samples = (steps / 2.0**23).astype(np.float32)
    write(tmp_path / "stem", encoding, samples)
    np.testing.assert_array_equal(read(tmp_path / "stem"), samples)


@pytest.mark.parametrize("encoding", [StemEncoding.WAV_PCM24, StemEncoding.FLAC_PCM24])
def test_24_bit_files_round_to_the_nearest_step_and_clip(tmp_path, encoding):
    samples = np.array([[1.5], [-1.5], [0.4 * 2**-23], [0.6 * 2**-23], [-0.6 * 2**-23]])
    write(tmp_path / "stem", encoding, samples)
    assert read(tmp_path / "stem")[:, 0].tolist() == [FULL_SCALE_24, -1.0, 0.0, 2**-23, -(2**-23)]


def test_float_files_hold_every_float(tmp_path):
    samples = np.random.default_rng(0).normal(0, 2, (30_000, 2)).astype(np.float32)
    write(tmp_path / "stem", StemEncoding.WAV_FLOAT32, samples)
    np.testing.assert_array_equal(read(tmp_path / "stem"), samples)


@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_the_digest_is_of_the_file(tmp_path, encoding):
    path = tmp_path / "stem"
    written = write(path, encoding, np.zeros((5000, 2), dtype=np.float32))
    assert written == WrittenAudio(5000, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert os.listdir(tmp_path) == ["stem"]


@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_the_same_samples_give_the_same_bytes(tmp_path, encoding):
    samples = np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32)
    first = write(tmp_path / "first", encoding, samples)
    second = write(tmp_path / "second", encoding, samples, block_frames=333)
    assert first.sha256 == second.sha256


def test_a_float_file_does_not_say_when_it_was_written(tmp_path):
    write(tmp_path / "stem", StemEncoding.WAV_FLOAT32, np.ones((10, 1), dtype=np.float32))
    header = (tmp_path / "stem").read_bytes()
    at = header.index(b"PEAK")
    assert header[at + 12 : at + 16] == bytes(4)


def test_a_writer_that_is_left_early_leaves_nothing(tmp_path):
    with StemWriter(tmp_path / "stem.wav", StemEncoding.WAV_FLOAT32, RATE_HZ, 2, 1000) as writer:
        writer.write(np.zeros((500, 2), dtype=np.float32))
    assert os.listdir(tmp_path) == []


def test_a_stem_of_the_wrong_length_is_not_finished(tmp_path):
    with StemWriter(tmp_path / "stem.wav", StemEncoding.WAV_FLOAT32, RATE_HZ, 2, 1000) as writer:
        writer.write(np.zeros((999, 2), dtype=np.float32))
        with pytest.raises(ValueError, match="1000 frames, but 999 were written"):
            writer.finish()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("extra_frames", "kind"), [(-1, "WAV"), (1, "RF64")])
def test_only_files_over_4_gib_are_rf64(tmp_path, extra_frames, kind):
    frames = RIFF_MAX_BYTES // 8 + extra_frames
    with StemWriter(tmp_path / "stem.wav", StemEncoding.WAV_FLOAT32, RATE_HZ, 2, frames) as writer:
        writer.write(np.zeros((1, 2), dtype=np.float32))
        assert writer.container == kind
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(tmp_path, encoding):
    noise = np.random.default_rng(0).normal(0, 0.1, (50_000, 2)).astype(np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # stands for a full disk
    try:
        with pytest.raises(DiskFullError, match="free some space"):
            write(tmp_path / "stem", encoding, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def write_at(path, encoding, rate_hz):
    with StemWriter(path, encoding, rate_hz, 1, 1) as writer:
        writer.write(np.zeros((1, 1), np.float32))
        writer.finish()
    return soundfile.info(path).samplerate


@pytest.mark.parametrize("rate_hz", [8_000, 44_056, 65_535, 96_000, 352_800, 384_000])
@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_every_encoding_holds_the_usual_rates(tmp_path, encoding, rate_hz):
    assert write_at(tmp_path / "stem", encoding, rate_hz) == rate_hz


@pytest.mark.parametrize("rate_hz", [65_536, 96_096, 191_808])
def test_flac_is_refused_for_a_rate_that_wav_holds(tmp_path, rate_hz):
    with pytest.raises(BadOptionError, match=f"has {rate_hz} Hz"):
        write_at(tmp_path / "stem", StemEncoding.FLAC_PCM24, rate_hz)
    assert write_at(tmp_path / "stem", StemEncoding.WAV_PCM24, rate_hz) == rate_hz
