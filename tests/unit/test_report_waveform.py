import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.report.waveform import BLOCK_FRAMES, source_waveform, stem_waveform, waveform


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
    blocks = [audio[start : start + block_frames] for start in range(0, frames, block_frames)]
    wave = waveform(blocks, frames, bins)
    bins = min(bins, frames)
    spans = [audio[index * frames // bins : (index + 1) * frames // bins] for index in range(bins)]
    np.testing.assert_array_equal(wave.low, [span.min() for span in spans])
    np.testing.assert_array_equal(wave.high, [span.max() for span in spans])
    assert wave.peak == np.abs(audio).max()


@pytest.mark.parametrize("frames", [1, BLOCK_FRAMES, BLOCK_FRAMES + 1])
@pytest.mark.parametrize("channels", [1, 2])
def test_source_and_stem_of_the_same_audio_look_the_same(tmp_path: Path, frames: int, channels: int) -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, (frames, channels)).astype("<f4")
    audio.tofile(tmp_path / "song.f32")
    soundfile.write(tmp_path / "stem.wav", audio, 44100, subtype="FLOAT")
    source = SourceAudio(str(tmp_path / "song.f32"), 44100, channels, frames, "WAV FLOAT", 1.0)
    of_source, of_stem = source_waveform(source), stem_waveform(tmp_path / "stem.wav")
    np.testing.assert_array_equal(of_source.low, of_stem.low)
    np.testing.assert_array_equal(of_source.high, of_stem.high)
    assert of_source.high.max() == audio.max()


def test_a_long_song_is_read_in_bounded_memory(tmp_path: Path) -> None:
    frames = 4_000_000
    np.zeros((frames, 2), "<f4").tofile(tmp_path / "song.f32")  # 32 MB
    source = SourceAudio(str(tmp_path / "song.f32"), 44100, 2, frames, "WAV FLOAT", 0.0)
    tracemalloc.start()
    try:
        wave = source_waveform(source)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert wave.peak == 0.0
    assert peak_bytes < 4_000_000
