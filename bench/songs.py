"""Songs to measure with; what they sound like does not matter, that they sound does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE_HZ = 44100
BLOCK_S = 10


def write_noise_song(path: Path, duration_s: int, seed: int = 0) -> Path:
    """Write stereo noise as 16-bit WAV, ten seconds at a time."""
    random = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 2, "PCM_16") as file:
        for start_s in range(0, duration_s, BLOCK_S):
            frames = min(BLOCK_S, duration_s - start_s) * SAMPLE_RATE_HZ
            file.write(random.integers(-3000, 3000, (frames, 2), dtype=np.int16))
    return path
