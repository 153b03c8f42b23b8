"""Measurements of stems are those of their files, whatever wrote them."""

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from ugosa_server.audio.encode import StemWriter
from ugosa_server.audio.formats import SourceAudio, StemEncoding
from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.model_input import song_blocks
from ugosa_server.pipeline.report import check_stems

RATE_HZ = 44100
FADE_FRAMES = 441
SOURCES = ("drums", "bass", "vocals")
N_FRAMES = 2 * BLOCK_FRAMES + 777
SILENCE = (BLOCK_FRAMES - 20_000, BLOCK_FRAMES + 30_000)  # over the edge of a block
MARKS = MarkSet((Mark("bass", MarkState.SILENT, *SILENCE), Mark("drums", MarkState.ACTIVE, 0, 1000)))


def stems_on_the_grid(channels, n_frames=N_FRAMES):
    """[S, n, C] of 24-bit samples, bass silent where it is marked."""
    stems = np.rint(np.random.default_rng(0).uniform(-0.3, 0.3, (3, n_frames, channels)) * 2**23) / 2**23
    stems[1, SILENCE[0] : SILENCE[1]] = 0.0
    return stems


def check(folder, stems, mix, encoding=StemEncoding.WAV_FLOAT32):
    """Write stems [S, n, C] and their mix, and drive the check."""
    _, n_frames, channels = stems.shape
    mix.astype("<f4").tofile(folder / "mix.f32")
    source = SourceAudio(str(folder / "mix.f32"), RATE_HZ, channels, n_frames, "WAV PCM_24", 1.0)
    paths = [folder / f"{name}{encoding.suffix}" for name in SOURCES]
    for path, stem in zip(paths, stems, strict=True):
        with StemWriter(path, encoding, RATE_HZ, channels, n_frames) as writer:
            writer.write(stem)
            writer.finish()
    with SourceFrames(source) as frames:
        steps = check_stems(paths, MARKS, SOURCES, frames)
        done = []
        while True:
            try:
                done.append(next(steps))
            except StopIteration as end:
                assert done == list(range(1, song_blocks(source) + 1))
                return end.value


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", StemEncoding)
def test_kept_promises_are_found_kept(tmp_path, encoding, channels):
    stems = stems_on_the_grid(channels)
    found = check(tmp_path, stems, stems.sum(axis=0), encoding)
    assert found.null_peak_dbfs == -math.inf
    assert found.silence_peaks_dbfs == (None, -math.inf, None)
    assert found.peaks_dbfs == [pytest.approx(20 * math.log10(np.abs(stem).max())) for stem in stems]


@pytest.mark.parametrize("frame", [0, BLOCK_FRAMES - 1, BLOCK_FRAMES, N_FRAMES - 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_single_sample_that_does_not_add_up_is_found(tmp_path, frame, sign):
    stems = stems_on_the_grid(2)
    mix = stems.sum(axis=0)
    mix[frame, 1] += sign * 2.0**-20
    assert check(tmp_path, stems, mix).null_peak_dbfs == pytest.approx(20 * math.log10(2.0**-20))


@pytest.mark.parametrize("frame", [SILENCE[0] + FADE_FRAMES, BLOCK_FRAMES, SILENCE[1] - FADE_FRAMES - 1])
def test_a_single_sample_in_marked_silence_is_found(tmp_path, frame):
    stems = stems_on_the_grid(2)
    stems[1, frame, 0] = -(2.0**-20)
    found = check(tmp_path, stems, stems.sum(axis=0))
    assert found.silence_peaks_dbfs == (None, pytest.approx(20 * math.log10(2.0**-20)), None)


def test_the_fades_at_the_edges_are_no_silence(tmp_path):
    stems = stems_on_the_grid(2)
    stems[1, SILENCE[0] : SILENCE[0] + FADE_FRAMES] = stems[1, SILENCE[1] - FADE_FRAMES : SILENCE[1]] = 0.25
    assert check(tmp_path, stems, stems.sum(axis=0)).silence_peaks_dbfs[1] == -math.inf


def test_waveforms_are_those_of_the_files(tmp_path):
    stems = stems_on_the_grid(2)
    found = check(tmp_path, stems, stems.sum(axis=0))
    edges = np.arange(1001) * N_FRAMES // 1000
    for wave, audio in zip((found.mix, *found.stems), (stems.sum(axis=0), *stems), strict=True):
        spans = [audio[a:b].astype(np.float32) for a, b in pairwise(edges)]
        np.testing.assert_array_equal(wave.low, [span.min() for span in spans])
        np.testing.assert_array_equal(wave.high, [span.max() for span in spans])


def test_a_long_song_is_checked_in_bounded_memory(tmp_path):
    n_frames = 2_000_000
    silent = np.zeros((n_frames, 2), "<f4")  # 16 MB
    silent.tofile(tmp_path / "mix.f32")
    paths = [tmp_path / f"{name}.wav" for name in SOURCES]
    for path in paths:
        soundfile.write(path, silent, RATE_HZ, subtype="FLOAT")
    source = SourceAudio(str(tmp_path / "mix.f32"), RATE_HZ, 2, n_frames, "WAV FLOAT", 0.0)
    tracemalloc.start()
    try:
        with SourceFrames(source) as frames:
            list(check_stems(paths, MARKS, SOURCES, frames))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 6_000_000
