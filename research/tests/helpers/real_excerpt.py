"""The real excerpt inside the stempeg wheel (read, never shipped), and what a model card says of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from ugosa_research.evaluation.stem_mp4 import decode_stem_mp4

EDGE_SAMPLES = 3 * 1024  # AAC packets at both ends, which the cutting of the excerpt left with loud clicks


def real_excerpt(scratch):
    """Stems [S, C, T], with the clicks at both ends (`EDGE_SAMPLES`).

    The package is located and not imported: it refuses to load without an ffmpeg binary.
    """
    spec = importlib.util.find_spec("stempeg")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    files = [path for folder in folders for path in sorted(Path(folder, "data").glob("*.stem.mp4"))]
    if not files:
        pytest.skip("the real excerpt comes inside the package stempeg, which is not installed")
    stems = [
        np.fromfile(stem.path, "<f4").reshape(-1, stem.channels)
        for stem in decode_stem_mp4(files[0], scratch)
    ]
    frames = min(len(stem) for stem in stems)
    return torch.from_numpy(np.stack([stem[:frames] for stem in stems])).transpose(1, 2).contiguous()


def figures_of(card, words):
    """The row of a card's table that begins with these words: SDR in dB by source."""
    row = next(line for line in card.read_text().splitlines() if line.startswith(f"| {words}"))
    return [float(cell) for cell in row.strip("| ").split("|")[1:5]]
