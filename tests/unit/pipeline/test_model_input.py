"""Input is normalised; estimates come back at the song's scale, rate, channels and length."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.tiny_network import TINY
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.errors import UploadDamagedError
from ugosa_server.pipeline.model_input import estimates_at_source, song_blocks, write_model_mix


def write_song(folder, samples, rate_hz):
    path = folder / "song.f32"
    samples.astype("<f4").tofile(path)
    return SourceAudio(
        str(path), rate_hz, samples.shape[1], len(samples), "WAV FLOAT", float(np.abs(samples).max())
    )


def prepared(source, config, folder):
    """Drive the generator; return the ModelMix and the steps."""
    with SourceFrames(source) as frames:
        steps = write_model_mix(source, frames, folder / "mix.f32", config)
        done = []
        while True:
            try:
                done.append(next(steps))
            except StopIteration as end:
                return end.value, done


def smooth_song(n_frames, rate_hz, channels):
    t = np.arange(n_frames)[:, None] / rate_hz
    return 0.1 + 0.3 * np.sin(2 * np.pi * np.array([100.0, 210.0])[:channels] * t)


def test_a_song_that_has_decayed_is_noticed(tmp_path):
    source = write_song(tmp_path, smooth_song(20_000, 8000, 1), 8000)
    digest = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
    prepared(replace(source, sha256=digest), TINY, tmp_path)
    with Path(source.path).open("r+b") as file:
        file.seek(1000)
        file.write(b"\x01")
    with pytest.raises(UploadDamagedError, match="send it again"):
        prepared(replace(source, sha256=digest), TINY, tmp_path)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("model_channels", [1, 2])
@pytest.mark.parametrize(("rate_hz", "n_frames"), [(8000, 20_000), (48_000, 150_001)])
def test_input_is_normalised_and_one_estimate_restores_the_song(
    tmp_path, channels, model_channels, rate_hz, n_frames
):
    song = smooth_song(n_frames, rate_hz, channels)
    source = write_song(tmp_path, song, rate_hz)
    mix, done = prepared(source, replace(TINY, audio_channels=model_channels), tmp_path)
    samples = np.fromfile(mix.frames.source.path, "<f4").reshape(mix.frames.source.frames, model_channels)
    assert mix.frames.source.frames == round(n_frames * 8000 / rate_hz)
    assert samples.mean() == pytest.approx(0, abs=1e-4)
    assert samples.mean(axis=1).std() == pytest.approx(1, abs=1e-4)
    assert done[-1] == song_blocks(source)
    assert mix.source_sha256 == hashlib.sha256(Path(source.path).read_bytes()).hexdigest()

    estimates = iter([samples.T[None, :, i : i + 777] for i in range(0, len(samples), 777)])  # one source
    back = np.concatenate(list(estimates_at_source(estimates, mix, source)), axis=-1)
    assert back.shape == (1, channels, n_frames)
    expected = song.T if model_channels == 2 or channels == 1 else np.repeat(song.mean(1)[None], 2, axis=0)
    inner = slice(2000, -2000)  # resampling rings where the song begins and ends abruptly
    np.testing.assert_allclose(back[0][:, inner], expected[:, inner], atol=1e-3)


def test_mean_comes_back_once_in_the_sum_of_the_stems(tmp_path):
    song = smooth_song(8000, 8000, 2)
    source = write_song(tmp_path, song, 8000)
    mix, _ = prepared(source, TINY, tmp_path)
    samples = np.fromfile(mix.frames.source.path, "<f4").reshape(-1, 2).T
    halves = iter([np.stack([0.25 * samples, 0.75 * samples])])
    stems = next(estimates_at_source(halves, mix, source))
    np.testing.assert_allclose(stems.sum(axis=0), song.T, atol=1e-5)


def test_long_segments_go_on_in_short_blocks(tmp_path):
    n_frames = 2 * BLOCK_FRAMES + 5
    source = write_song(tmp_path, smooth_song(n_frames, 8000, 1), 8000)
    mix, _ = prepared(source, TINY, tmp_path)
    segment = np.zeros((3, 2, n_frames), np.float32)
    blocks = estimates_at_source(iter([segment]), mix, source)
    assert [block.shape[-1] for block in blocks] == [BLOCK_FRAMES, BLOCK_FRAMES, 5]


@pytest.mark.parametrize("n_frames", [1, 5000])
def test_silence_stays_silence(tmp_path, n_frames):
    mix, _ = prepared(write_song(tmp_path, np.zeros((n_frames, 2)), 48_000), TINY, tmp_path)
    assert mix.std == 1
    assert not np.fromfile(mix.frames.source.path, "<f4").any()
