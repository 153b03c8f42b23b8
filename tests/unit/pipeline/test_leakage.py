"""Leakage is measured inside marked silence and nowhere else, whatever the blocks."""

import numpy as np
import pytest

from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.leakage import LeakageMeter, densest_window

SILENT, ACTIVE = MarkState.SILENT, MarkState.ACTIVE
MARKS = MarkSet((Mark("bass", SILENT, 10, 20), Mark("bass", SILENT, 15, 40), Mark("drums", ACTIVE, 0, 90)))


@pytest.mark.parametrize("block_frames", [1, 7, 16, 100])
def test_leakage_is_the_rms_inside_the_marks(block_frames):
    stems = np.random.default_rng(0).normal(size=(2, 2, 100)).astype(np.float32)
    meter = LeakageMeter(MARKS, ["drums", "bass"])
    blocks = [stems[..., i : i + block_frames] for i in range(0, 100, block_frames)]
    assert len(list(meter.listen(blocks))) == len(blocks)
    drums, bass = meter.levels_dbfs()
    assert drums is None
    assert bass == pytest.approx(10 * np.log10(np.mean(stems[1, :, 10:40].astype(float) ** 2)))


def test_the_excerpt_lies_where_most_silence_is_marked():
    marks = MarkSet((Mark("a", SILENT, 0, 30), Mark("a", SILENT, 500, 560), Mark("b", SILENT, 520, 600)))
    spans = {"a": [(0, 30), (500, 560)], "b": [(520, 600)]}

    def coverage(start):
        return sum(max(0, min(y, start + 50) - max(x, start)) for rows in spans.values() for x, y in rows)

    start, stop = densest_window(marks, 1000, 50)
    assert stop - start == 50
    assert coverage(start) == max(map(coverage, range(951)))


def test_the_excerpt_of_a_short_or_unmarked_song_begins_with_it():
    assert densest_window(MarkSet(), 1000, 50) == (0, 50)
    assert densest_window(MARKS, 30, 50) == (0, 30)
