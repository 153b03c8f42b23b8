"""Leakage is measured inside marked silence and nowhere else, whatever the blocks."""

import numpy as np
import pytest

from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.stems import LeakageMeter

SILENT, ACTIVE = MarkState.SILENT, MarkState.ACTIVE
MARKS = MarkSet((Mark("bass", SILENT, 10, 20), Mark("bass", SILENT, 15, 40), Mark("drums", ACTIVE, 0, 90)))


@pytest.mark.parametrize("block_frames", [1, 7, 16, 100])
def test_leakage_is_the_rms_inside_the_marks(block_frames):
    stems = np.random.default_rng(0).normal(size=(2, 2, 100)).astype(np.float32)
    meter = LeakageMeter(MARKS, ["drums", "bass"])
    for i in range(0, 100, block_frames):
        meter.add(stems[..., i : i + block_frames])
    drums, bass = meter.levels_dbfs()
    assert drums is None
    assert bass == pytest.approx(10 * np.log10(np.mean(stems[1, :, 10:40].astype(float) ** 2)))
