"""The promises about stems hold whatever the network says: null, silence, range, no clicks."""

import tracemalloc

import numpy as np
import pytest

from ugosa_server.audio.encode import StemWriter, read_blocks
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.errors import SeparationFailedError
from ugosa_server.marks import Mark, MarkSet, MarkState, SilenceGains, fade_frames
from ugosa_server.separation.mixture_consistency import GROUP_FRAMES, MixtureConsistency
from ugosa_server.separation.residual_weights import residual_weights

SOURCES = ("drums", "bass", "other", "vocals")
STEP = 2.0**-23
DB_140 = 10 ** (-140 / 20)
RATES_HZ = [44_100, 48_000, 96_000]
LENGTHS = [1, 322, 44_099, 2 * GROUP_FRAMES + 1025]


def silent(source: str, start: int, end: int) -> Mark:
    return Mark(source, MarkState.SILENT, start, end)


def marks_for(frames: int) -> list[Mark]:
    """Overlapping silences from the start, to the end and within; never of all sources at once."""
    fifth = frames // 5
    spans = [
        ("vocals", 0, 2 * fifth),
        ("vocals", 3 * fifth, frames),
        ("bass", fifth, 3 * fifth),
        ("drums", 0, fifth),
    ]
    return [silent(source, start, end) for source, start, end in spans if start < end]


def integer_mix(bits: int, frames: int, channels: int) -> np.ndarray:
    """Noise over the whole range, both extremes included."""
    full = 2 ** (bits - 1)
    steps = np.random.default_rng(bits).integers(-full, full, (frames, channels))
    steps[0], steps[-1] = full - 1, -full
    return (steps / full).astype(np.float32)


def float_mix(frames: int, channels: int, peak: float = 1.0) -> np.ndarray:
    return np.random.default_rng(7).uniform(-peak, peak, (frames, channels)).astype(np.float32)


def estimates(kind: str, mix: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(3)
    shape = (len(SOURCES), mix.shape[1], len(mix))
    noise = rng.normal(0, 1, shape)
    return {
        "near": mix.T / 4 + 0.01 * noise,
        "zero": np.zeros(shape),
        "wild": 50 * noise,
        "absurd": 1e30 * noise,
        "one takes all": np.stack([1e-9 * noise[0], 1e-9 * noise[1], 1e-9 * noise[2], mix.T + noise[3]]),
        "offset": 1.7 + 0.1 * noise,
    }[kind].astype(np.float32)


ESTIMATES = ["near", "zero", "wild", "absurd", "one takes all", "offset"]


def gains_of(marks: list[Mark], frames: int, rate_hz: int = 44_100) -> SilenceGains:
    return SilenceGains(MarkSet(tuple(marks)), SOURCES, frames, rate_hz)


def finish(
    mix: np.ndarray,
    guess: np.ndarray,
    marks: list[Mark],
    encoding: StemEncoding = StemEncoding.WAV_FLOAT32,
    rate_hz: int = 44_100,
    block_frames: int = 10_000,
) -> np.ndarray:
    consistency = MixtureConsistency(mix, gains_of(marks, len(mix), rate_hz), encoding)
    blocks = (guess[..., start : start + block_frames] for start in range(0, len(mix), block_frames))
    return np.concatenate(list(consistency.process(blocks)), axis=2)


def null_peak(stems: np.ndarray, mix: np.ndarray) -> float:
    return float(np.abs(stems.astype(np.float64).sum(axis=0) - mix.T).max())


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("bits", [16, 24])
def test_stems_null_exactly_against_an_integer_mix(bits, frames, channels, rate_hz):
    mix = integer_mix(bits, frames, channels)
    for kind in ESTIMATES:
        for encoding in (StemEncoding.WAV_FLOAT32, StemEncoding.WAV_PCM24):
            stems = finish(mix, estimates(kind, mix), marks_for(frames), encoding, rate_hz)
            assert stems.dtype == np.float32
            assert null_peak(stems, mix) == 0.0, (kind, encoding)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("peak", [1e-6, 0.3, 1.0])
def test_stems_null_below_minus_140_dbfs_against_a_float_mix(peak, frames, channels):
    mix = float_mix(frames, channels, peak)
    for kind in ESTIMATES:
        stems = finish(mix, estimates(kind, mix), marks_for(frames))
        assert null_peak(stems, mix) <= DB_140, kind
        stems = finish(mix, estimates(kind, mix), marks_for(frames), StemEncoding.WAV_PCM24)
        if peak <= 0.3:
            assert null_peak(stems, mix) <= STEP / 2, kind


@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_stems_of_a_song_in_dual_mono_are_in_dual_mono(encoding):
    mix = np.repeat(integer_mix(24, 2 * GROUP_FRAMES + 1025, 1), 2, axis=1)
    for kind in ESTIMATES:
        guess = estimates(kind, mix)
        stems = finish(mix, guess, marks_for(len(mix)), encoding)
        np.testing.assert_array_equal(stems[:, 0], stems[:, 1], kind)
        assert null_peak(stems, mix) == 0.0, kind
    other = mix.copy()
    other[-1, 1] = 0.0  # one sample is enough
    stems = finish(other, estimates("near", mix), [], encoding)
    assert (stems[:, 0] != stems[:, 1]).any()


@pytest.mark.parametrize("encoding", list(StemEncoding))
def test_stems_null_exactly_after_they_were_written_and_read(tmp_path, encoding):
    mix = integer_mix(24, 44_099, 2)
    stems = finish(mix, estimates("wild", mix), marks_for(len(mix)), encoding)
    read = []
    for source, stem in zip(SOURCES, stems, strict=True):
        with StemWriter(tmp_path / source, encoding, 44_100, 2, len(mix)) as writer:
            writer.write(stem.T)
            writer.finish()
        read.append(np.concatenate(list(read_blocks(tmp_path / source))).astype(np.float64))
    np.testing.assert_array_equal(np.sum(read, axis=0), mix)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("kind", ESTIMATES)
@pytest.mark.parametrize("encoding", [StemEncoding.WAV_FLOAT32, StemEncoding.WAV_PCM24])
def test_marked_stems_are_exactly_zero_past_the_fade(encoding, kind, rate_hz):
    frames = 50_000
    mix = float_mix(frames, 2)  # off the grid, so that rounding leaves a remainder everywhere
    marks = marks_for(frames)
    stems = finish(mix, estimates(kind, mix), marks, encoding, rate_hz)
    silenced = gains_of(marks, frames, rate_hz).between(0, frames) == 0
    assert silenced.sum() > frames / 2
    assert not stems.transpose(0, 2, 1)[silenced].any()


@pytest.mark.parametrize("kind", ESTIMATES)
def test_span_where_all_are_silent_stays_quiet_and_nulls(kind):
    frames, start, end = 20_000, 5000, 15_000
    mix = integer_mix(16, frames, 2)
    mix[start:end] = np.round(mix[start:end]) * 2.0**-15  # one 16-bit step, -90.3 dBFS
    stems = finish(mix, estimates(kind, mix), [silent(source, start, end) for source in SOURCES])
    inside = slice(start + fade_frames(44_100), end - fade_frames(44_100))
    assert np.abs(stems[..., inside]).max() <= 10 ** (-90 / 20)
    assert null_peak(stems, mix) == 0.0


@pytest.mark.parametrize("block_frames", [16, 40, 1000, 8192, 8193, GROUP_FRAMES, GROUP_FRAMES + 1])
def test_any_block_size_gives_the_same_stems(block_frames):
    mix = float_mix(2 * GROUP_FRAMES + 777, 2)
    guess = estimates("near", mix)
    whole = finish(mix, guess, marks_for(len(mix)), block_frames=len(mix))
    np.testing.assert_array_equal(finish(mix, guess, marks_for(len(mix)), block_frames=block_frames), whole)


def test_streaming_equals_the_formula_on_the_whole_song():
    """The plain twin: step 1 of the module's docstring with everything in memory."""
    frames = 2 * GROUP_FRAMES + 1500
    mix = integer_mix(16, frames, 2)
    level = np.repeat(np.random.default_rng(1).uniform(0, 1, (4, 1, frames // 500 + 1)), 500, axis=2)
    guess = (level[..., :frames] * estimates("near", mix)).astype(np.float32)
    marks = marks_for(frames)
    cells = [slice(start, start + 1024) for start in range(0, frames, 1024)]
    power = np.array([[np.mean(np.square(stem[:, cell], dtype=float)) for cell in cells] for stem in guess])
    position = (np.arange(frames) + 0.5) / 1024
    powers = np.array([np.interp(position, np.arange(len(cells)) + 0.5, row) for row in power])
    gains = gains_of(marks, frames).between(0, frames)
    silenced = gains[:, None] * guess
    expected = silenced + residual_weights(powers, gains)[:, None] * (mix.T - silenced.sum(axis=0))
    np.testing.assert_allclose(finish(mix, guess, marks), expected, atol=2.5 * STEP)


@pytest.mark.parametrize("kind", ESTIMATES)
def test_stems_stay_within_the_range_of_their_encoding(kind):
    mix = integer_mix(16, 30_000, 2)
    stems = finish(mix, estimates(kind, mix), marks_for(len(mix)), StemEncoding.WAV_PCM24)
    assert stems.min() >= -1
    assert stems.max() <= 1 - STEP
    np.testing.assert_array_equal(stems, np.rint(stems / STEP) * STEP)
    stems = finish(mix, estimates(kind, mix), marks_for(len(mix)))
    assert np.abs(stems).max() <= 2 - 2 * STEP


def test_float_mix_above_full_scale_fits_24_bits_if_shared():
    mix = float_mix(30_000, 2, peak=1.5)
    marks = [silent("vocals", 0, 30_000)]
    consistency = MixtureConsistency(mix, gains_of(marks, len(mix)), StemEncoding.WAV_PCM24)
    guess = np.zeros((4, 2, 30_000), dtype=np.float32)
    guess[0] = mix.T  # by power, the drums would get all of it
    (stems,) = consistency.process([guess])
    assert consistency.clipped_samples == 0
    assert null_peak(stems, mix) <= STEP / 2


def test_mix_too_loud_for_one_source_is_clipped_and_counted():
    mix = np.full((100, 1), 1.5, dtype=np.float32)
    marks = [silent(source, 0, 100) for source in SOURCES[1:]]
    consistency = MixtureConsistency(mix, gains_of(marks, len(mix)), StemEncoding.WAV_PCM24)
    (stems,) = consistency.process([np.zeros((4, 1, 100), dtype=np.float32)])
    np.testing.assert_array_equal(stems[0], 1 - STEP)
    assert not stems[1:].any()
    assert consistency.clipped_samples == 100 * 2  # the stem, and the remainder that it was given


def test_good_estimates_are_left_as_they_are():
    rng = np.random.default_rng(0)
    true = np.rint(rng.uniform(-0.2, 0.2, (4, 2, 20_000)) / STEP) * STEP
    mix = true.sum(axis=0).T.astype(np.float32)
    np.testing.assert_array_equal(finish(mix, true.astype(np.float32), []), true)


def sine(hz: float, frames: int, level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(frames) / 44_100)


@pytest.mark.parametrize("region", [(20_000, 40_000), (20_011, 20_700), (0, 30_000), (35_000, 60_000)])
@pytest.mark.parametrize("shares", [(0.2, 0.1, 0.1, 0.6), (0, 0, 0, 1), (0.3, 0.3, 0.4, 0)])
def test_marks_make_no_clicks(shares, region):
    """Steps from sample to sample near the edges are no larger than those of the mix."""
    frames = 60_000
    mix = (sine(220, frames, 0.5) + sine(331, frames, 0.3))[:, None].astype(np.float32)
    guess = np.array(shares, dtype=np.float32)[:, None, None] * mix.T
    stems = finish(mix, guess, [silent("vocals", *region)])
    mix_step = np.abs(np.diff(mix[:, 0])).max()
    assert np.abs(np.diff(stems, axis=2)).max() <= mix_step + 2 * STEP


def test_memory_does_not_grow_with_the_song():
    frames = 60 * GROUP_FRAMES  # 63 MB of float32 stems
    mix = np.broadcast_to(np.float32(0.25), (frames, 2))
    guess = np.broadcast_to(np.float32(0.1), (4, 2, 50_000))
    blocks = (guess[..., : min(50_000, frames - start)] for start in range(0, frames, 50_000))
    consistency = MixtureConsistency(mix, gains_of(marks_for(frames), frames))
    tracemalloc.start()
    try:
        assert sum(stems.shape[2] for stems in consistency.process(blocks)) == frames
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 25e6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_estimate_with_nan_is_an_error_that_names_the_source(value):
    mix = float_mix(50_000, 2)
    guess = estimates("near", mix)
    guess[2, 1, 40_123] = value
    with pytest.raises(SeparationFailedError, match=r"the network's other is not audio.*at frame 40123"):
        finish(mix, guess, [])
