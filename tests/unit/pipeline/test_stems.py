"""Leakage is measured inside marked silence alone, and a rest of 24 bits is rounded once."""

import numpy as np
import pytest

from ugosa_server.audio import StemEncoding
from ugosa_server.jobs.runs import StemChoice
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.stems import LeakageMeter, StemChooser
from ugosa_server.separation.mixture_consistency import STEP

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


def test_a_rest_of_24_bits_is_off_by_half_a_step_at_most():
    random = np.random.default_rng(0)
    mix = random.uniform(-0.5, 0.5, (20_000, 2)).astype(np.float32)
    vocals = np.rint(random.uniform(-0.4, 0.4, (1, 2, 20_000)) / STEP) * STEP
    choice = StemChoice(("drums", "vocals"), ("vocals",))
    stems = np.concatenate([np.zeros_like(vocals), vocals]).astype(np.float32)
    chosen = StemChooser(choice, mix, StemEncoding.FLAC_PCM24).chosen(stems)
    written = np.rint(chosen / np.float64(STEP)) * STEP
    assert np.abs(written.sum(axis=0).T - mix).max() <= STEP / 2
