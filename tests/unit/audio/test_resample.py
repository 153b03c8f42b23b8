"""Rate conversion keeps time and exact lengths, whatever the blocks."""

import numpy as np
import pytest
import soxr

from ugosa_server.audio.resample import QUALITY, resample_blocks, resampled_frames

RATES = [(44_100, 48_000), (96_000, 44_100), (48_000, 44_100), (8_000, 44_100)]


def in_blocks(samples: np.ndarray, block_frames: int):
    for start in range(0, len(samples), block_frames):
        yield samples[start : start + block_frames]


def joined(blocks) -> np.ndarray:
    return np.concatenate(list(blocks))


@pytest.mark.parametrize(("from_rate_hz", "to_rate_hz"), RATES)
@pytest.mark.parametrize("frames", [1, 2, 322, 44_099, 100_000])
def test_the_length_is_exact(frames, from_rate_hz, to_rate_hz):
    noise = np.random.default_rng(0).normal(0, 0.1, (frames, 2)).astype(np.float32)
    out_frames = resampled_frames(frames, from_rate_hz, to_rate_hz)
    assert out_frames == max(1, int(np.floor(frames * to_rate_hz / from_rate_hz + 0.5)))
    out = joined(resample_blocks(in_blocks(noise, 4096), from_rate_hz, to_rate_hz, out_frames))
    assert out.shape == (out_frames, 2)
    back = joined(resample_blocks(in_blocks(out, 4096), to_rate_hz, from_rate_hz, out_frames=frames))
    assert back.shape == (frames, 2)


@pytest.mark.parametrize("block_frames", [16, 40, 1000, 8192, 8193, 50_000])
def test_any_block_size_equals_the_whole(block_frames):
    noise = np.random.default_rng(0).normal(0, 0.1, (50_000, 2)).astype(np.float32)
    whole = soxr.resample(noise, 48_000, 44_100, quality=QUALITY)
    out_frames = resampled_frames(50_000, 48_000, 44_100)
    got = joined(resample_blocks(in_blocks(noise, block_frames), 48_000, 44_100, out_frames))
    assert len(got) == out_frames
    np.testing.assert_allclose(got[: len(whole)], whole[: len(got)], atol=1e-6)


@pytest.mark.parametrize(("from_rate_hz", "to_rate_hz"), RATES)
def test_a_sine_stays_at_its_time(from_rate_hz, to_rate_hz):
    def sine(rate_hz: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(2 * rate_hz) / rate_hz)[:, None].astype(np.float32)

    out = joined(
        resample_blocks(in_blocks(sine(from_rate_hz), 5000), from_rate_hz, to_rate_hz, 2 * to_rate_hz)
    )
    inner = slice(to_rate_hz // 2, -to_rate_hz // 2)  # away from where the sine begins and ends
    np.testing.assert_allclose(out[inner], sine(to_rate_hz)[inner], atol=1e-6)


def test_the_same_rate_passes_through_untouched():
    noise = np.random.default_rng(0).normal(0, 0.1, (5000, 2)).astype(np.float32)
    for out_frames in (4990, 5000):
        out = joined(resample_blocks(in_blocks(noise, 999), 44_100, 44_100, out_frames))
        np.testing.assert_array_equal(out, noise[:out_frames])
    assert joined(resample_blocks(in_blocks(noise, 999), 44_100, 44_100, out_frames=5010)).shape == (5010, 2)


def test_halves_round_up_and_a_song_never_vanishes():
    assert [resampled_frames(n, 2, 1) for n in range(5)] == [0, 1, 1, 2, 2]
    assert resampled_frames(1, 96_000, 44_100) == 1
