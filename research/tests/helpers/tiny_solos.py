"""Folders in Solos layout and pieces in URMP layout, of synthetic tones that a spectrum tells apart."""

import numpy as np
import soundfile

RATE_HZ = 11025
# class -> (Solos folder, URMP abbreviation, fundamental, harmonics)
TONES = {
    "cello": ("Cello", "vc", 130.0, (1.0, 0.7, 0.5, 0.4, 0.3)),
    "flute": ("Flute", "fl", 1300.0, (1.0, 0.1)),
    "tuba": ("Tuba", "tba", 58.0, (1.0, 0.3)),
}
CLASSES = tuple(TONES)


def tone(name, duration_s, rate_hz=RATE_HZ, seed=0):
    """A melody of four semitones around the class's fundamental: [T]."""
    rng = np.random.default_rng(seed)
    _, _, fundamental_hz, harmonics = TONES[name]
    n = int(duration_s * rate_hz)
    steps = np.repeat(rng.integers(0, 4, n // (rate_hz // 2) + 1), rate_hz // 2)[:n]
    phase = 2 * np.pi * np.cumsum(fundamental_hz * 2 ** (steps / 12)) / rate_hz
    return (0.1 * sum(level * np.sin((k + 1) * phase) for k, level in enumerate(harmonics))).astype(
        np.float32
    )


def save_tiny_solos(root, takes=3, duration_s=7.0):
    """`root/wav11k/<Instrument>/<take>-<n>.wav`: every class in every take."""
    for take in range(takes):
        for number, name in enumerate(CLASSES, start=1):
            folder = root / "wav11k" / TONES[name][0]
            folder.mkdir(parents=True, exist_ok=True)
            audio = tone(name, duration_s, seed=10 * take + number)
            soundfile.write(folder / f"take{take}-{number}.wav", audio, RATE_HZ, subtype="FLOAT")
    return root


def save_tiny_urmp(root, pieces=(("cello", "flute"),), duration_s=13.0, rate_hz=22050):
    """`root/<n>_Piece_<instruments>/AuMix_*.wav` and `AuSep_*.wav`."""
    for number, names in enumerate(pieces, start=1):
        piece = "_".join([f"{number:02d}", "Piece", *(TONES[name][1] for name in names)])
        folder = root / piece
        folder.mkdir(parents=True)
        stems = [tone(name, duration_s, rate_hz, seed=number + k) for k, name in enumerate(names)]
        for k, (name, audio) in enumerate(zip(names, stems, strict=True), start=1):
            path = folder / f"AuSep_{k}_{TONES[name][1]}_{number:02d}_Piece.wav"
            soundfile.write(path, audio, rate_hz, subtype="FLOAT")
        soundfile.write(folder / f"AuMix_{piece}.wav", sum(stems), rate_hz, subtype="FLOAT")
    return root
