"""A second studio for training songs: each stem through a random chain of pedalboard's effects.

pedalboard (Spotify; GPL-3.0, in the extra `train`) has what `effects.py` lacks: a compressor with attack and
release, a chorus, a room with reflections. A chain is drawn from the song's seed, so that the same seed gives
the same samples, and is written down beside the song.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray
from ugosa_research.songs.pedalboard_effects import levelled, widened
from ugosa_server.errors import ConfigError

ENGINES = ("own", "pedalboard")
STREAM = 1  # of the song's seed: what the generator draws itself stays what it is
INPUT_DB = -20.0  # level that thresholds are relative to
WIDTH = "Width"  # our own: pedalboard has none
SHELF_DB = 4.0  # standard deviation
DISTORTION_SHARE = {"drums": 0.25, "bass": 0.4, "other": 0.25, "vocals": 0.2}
CHORUS_SHARE = {"drums": 0.0, "bass": 0.15, "other": 0.3, "vocals": 0.2}
REVERB_SHARE = {"drums": 0.6, "bass": 0.05, "other": 0.5, "vocals": 0.8}


@dataclass(frozen=True)
class Effect:
    """One effect of a chain."""

    name: str
    """Class of pedalboard, or `Width`."""
    settings: tuple[tuple[str, float], ...]
    """Arguments by name, with their units in pedalboard's names."""


@dataclass(frozen=True)
class Studio:
    """The chains of one song."""

    chains: dict[str, tuple[Effect, ...]]
    """By stem."""

    @staticmethod
    def of_song(seed: int) -> Studio:
        """Draw the chains of the song of a seed."""
        rng = np.random.default_rng((seed, STREAM))
        return Studio({stem: random_chain(rng, stem) for stem in STEMS})

    def treated(self, stem: str, audio: FloatArray) -> FloatArray:
        """A stem through its chain: [C, T] -> [C, T]; silence stays silence."""
        import pedalboard

        audio = np.ascontiguousarray(levelled(audio, INPUT_DB), np.float32)
        for effect in self.chains[stem]:
            settings = dict(effect.settings)
            if effect.name == WIDTH:
                audio = widened(audio, **settings)
            else:
                audio = getattr(pedalboard, effect.name)(**settings)(audio, SAMPLE_RATE_HZ)
        return audio

    def manifest(self) -> dict[str, Any]:
        """Applied effects, as JSON takes them."""
        return {
            "engine": "pedalboard",
            "version": importlib.metadata.version("pedalboard"),
            "chains": {
                stem: [asdict(effect) | {"settings": dict(effect.settings)} for effect in chain]
                for stem, chain in self.chains.items()
            },
        }


def random_chain(rng: np.random.Generator, stem: str) -> tuple[Effect, ...]:
    """Equaliser and compressor; in some songs saturation, chorus and a room; the width last."""
    chain = [
        _effect("LowShelfFilter", cutoff_frequency_hz=rng.uniform(80, 250), gain_db=rng.normal(0, SHELF_DB)),
        _effect(
            "PeakFilter",
            cutoff_frequency_hz=float(np.exp(rng.uniform(np.log(250), np.log(5000)))),
            gain_db=rng.normal(0, 3),
            q=rng.uniform(0.5, 2),
        ),
        _effect(
            "HighShelfFilter", cutoff_frequency_hz=rng.uniform(3e3, 9e3), gain_db=rng.normal(0, SHELF_DB)
        ),
        _effect(
            "Compressor",
            threshold_db=INPUT_DB + rng.uniform(-6, 8),
            ratio=rng.uniform(1.5, 8),
            attack_ms=rng.uniform(1, 40),
            release_ms=rng.uniform(40, 300),
        ),
    ]
    if rng.random() < DISTORTION_SHARE[stem]:
        chain.append(_effect("Distortion", drive_db=rng.uniform(4, 24)))
    if rng.random() < CHORUS_SHARE[stem]:
        chain.append(
            _effect(
                "Chorus",
                rate_hz=rng.uniform(0.2, 2.5),
                depth=rng.uniform(0.05, 0.4),
                centre_delay_ms=rng.uniform(5, 15),
                mix=rng.uniform(0.2, 0.5),
            )
        )
    if rng.random() < REVERB_SHARE[stem]:
        wet = rng.uniform(0.03, 0.3)
        chain.append(
            _effect(
                "Reverb",
                room_size=rng.uniform(0.1, 0.9),
                damping=rng.uniform(0.1, 0.9),
                wet_level=wet,
                dry_level=1 - wet,
                width=rng.uniform(0.5, 1),
            )
        )
    chain.append(_effect(WIDTH, width=rng.uniform(0.3, 1.4)))
    return tuple(chain)


def require_engine(engine: str) -> None:
    """Check that an engine of effects is there.

    Raises:
        ConfigError: there is no such engine, or it is not installed.
    """
    if engine not in ENGINES:
        raise ConfigError(f"effects must be one of {ENGINES}, got {engine!r}")
    if engine == "pedalboard" and importlib.util.find_spec("pedalboard") is None:
        raise ConfigError(
            "effects = \"pedalboard\" needs pedalboard: pip install 'ugosa-research[train]', or set "
            'effects = "own"'
        )


def _effect(name: str, **settings: float) -> Effect:
    return Effect(name, tuple((key, float(value)) for key, value in settings.items()))
