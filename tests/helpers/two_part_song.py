"""A song of two parts that are easy to tell apart, with marks, and estimates of it."""

import numpy as np

from tests.helpers.tiny_network import TINY
from ugosa_server.adaptation.remix import EstimatedSong, RemixPool
from ugosa_server.marks import Mark, MarkSet, MarkState

RATE_HZ = TINY.sample_rate_hz
SOURCES = TINY.sources
FRAMES = 16 * RATE_HZ
SILENT_UNTIL = FRAMES // 2
CELL_FRAMES = RATE_HZ // 4
DRUMS, VOCALS = SOURCES.index("drums"), SOURCES.index("vocals")

MARKS = MarkSet(
    (
        Mark("vocals", MarkState.SILENT, 0, SILENT_UNTIL),
        Mark("bass", MarkState.SILENT, 0, FRAMES),
        Mark("other", MarkState.SILENT, 0, FRAMES),
    )
)


def two_part_stems():
    """[S, C, T]: noise of drums throughout, a warble of vocals in the second half."""
    random = np.random.default_rng(0)
    t = np.arange(FRAMES) / RATE_HZ
    stems = np.zeros((len(SOURCES), 2, FRAMES), np.float32)
    stems[DRUMS] = random.normal(size=(2, FRAMES)) * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * t))
    warble = np.sin(2 * np.pi * 700 * t + 8 * np.sin(2 * np.pi * 3 * t)) * (0.7 + 0.3 * np.sin(2 * np.pi * t))
    stems[VOCALS, :, SILENT_UNTIL:] = 1.2 * warble[SILENT_UNTIL:]
    return stems


def estimates_of(stems):
    """The stems as if a network had given them."""
    n_cells = -(-stems.shape[-1] // CELL_FRAMES)
    padded = np.pad(stems, ((0, 0), (0, 0), (0, n_cells * CELL_FRAMES - stems.shape[-1])))
    powers = np.square(padded.reshape(*stems.shape[:2], n_cells, CELL_FRAMES), dtype=np.float64)
    powers = powers.mean(axis=(1, 3))
    return EstimatedSong(MIX, RATE_HZ, SOURCES, lambda a, b: stems[..., a:b], powers, CELL_FRAMES)


STEMS = two_part_stems()
MIX = np.ascontiguousarray(STEMS.sum(axis=0).T)  # [T, C]


def pool_of(marks=MARKS, left_out=()):
    """The remixes of the song, of its true stems."""
    return RemixPool(estimates_of(STEMS), marks, left_out)
