"""The real excerpt inside the stempeg wheel (read, never shipped), and what a model card says of it."""

import numpy as np
import pytest
import torch

from ugosa_server.demo.song import find_stem_file, read_stems
from ugosa_server.errors import UgosaError


def real_excerpt():
    """Stems [S, C, T], with the clicks at both ends."""
    try:
        path = find_stem_file()
    except UgosaError as error:
        pytest.skip(f"the real excerpt is not there: {error}")
    stems, _ = read_stems(path)
    return torch.from_numpy(np.stack(stems)).transpose(1, 2).contiguous()


def figures_of(card, words):
    """The row of a card's table that begins with these words: SDR in dB by source."""
    row = next(line for line in card.read_text().splitlines() if line.startswith(f"| {words}"))
    return [float(cell) for cell in row.strip("| ").split("|")[1:5]]
