import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.report.svg import WaveformMeter


@given(
    frames=st.integers(1, 400),
    bins=st.integers(1, 50),
    block_frames=st.integers(1, 130),
    channels=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_blocks_give_the_extremes_of_every_span(
    frames: int, bins: int, block_frames: int, channels: int, seed: int
) -> None:
    audio = np.random.default_rng(seed).normal(size=(frames, channels)).astype(np.float32)
    meter = WaveformMeter(frames, bins)
    for start in range(0, frames, block_frames):
        meter.add(audio[start : start + block_frames])
    wave = meter.waveform()
    bins = min(bins, frames)
    spans = [audio[index * frames // bins : (index + 1) * frames // bins] for index in range(bins)]
    np.testing.assert_array_equal(wave.low, [span.min() for span in spans])
    np.testing.assert_array_equal(wave.high, [span.max() for span in spans])
    assert wave.peak == np.abs(audio).max()


def test_waveform_does_not_depend_on_memory_layout() -> None:
    audio = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    plain, turned = WaveformMeter(300, 7), WaveformMeter(300, 7)
    plain.add(audio)
    turned.add(np.asfortranarray(audio))
    np.testing.assert_array_equal(plain.waveform().low, turned.waveform().low)
    np.testing.assert_array_equal(plain.waveform().high, turned.waveform().high)
