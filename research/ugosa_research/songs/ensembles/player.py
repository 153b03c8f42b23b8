"""A performance as sound, by FluidSynth (only when data are rendered)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugosa_research.songs.ensembles.performance import Event
from ugosa_server.errors import ConfigError

PLAYING_RATE_HZ = 44100
SYNTH_GAIN = 0.4
INT16_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Room:
    """FluidSynth's reverberation."""

    size: float
    """0 to 1."""
    damping: float
    """0 to 1."""
    level: float
    """0 is dry."""


class EnsemblePlayer:
    """Plays one part at a time, to mono at 44.1 kHz."""

    def __init__(self) -> None:
        """Start FluidSynth.

        Raises:
            ConfigError: it, or its Python binding, is not installed.
        """
        try:
            import fluidsynth
        except ImportError as error:
            raise ConfigError(
                "pyfluidsynth or FluidSynth is not installed: pip install 'ugosa-research[train]', and "
                "Debian's libfluidsynth3"
            ) from error
        self._synth: Any = fluidsynth.Synth(samplerate=float(PLAYING_RATE_HZ), gain=SYNTH_GAIN)
        self._synth.setting("synth.dynamic-sample-loading", 1)
        self._synth.setting("synth.chorus.active", 0)
        self._loaded: dict[Path, int] = {}

    def play(
        self, soundfont: Path, program: int, events: Sequence[Event], room: Room, duration_s: float
    ) -> NDArray[np.float32]:
        """The first `duration_s` seconds of a performance: [T]."""
        if soundfont not in self._loaded:
            self._loaded[soundfont] = self._synth.sfload(str(soundfont))
        synth = self._synth
        synth.system_reset()
        synth.set_reverb(room.size, room.damping, 0.5, room.level)
        synth.program_select(0, self._loaded[soundfont], 0, program)
        total = int(duration_s * PLAYING_RATE_HZ)
        blocks: list[NDArray[np.int16]] = []
        done = 0
        for event in events:
            place = min(total, int(event.time_s * PLAYING_RATE_HZ))
            if place > done:
                blocks.append(synth.get_samples(place - done))
                done = place
            if event.kind == "on":
                synth.noteon(0, event.number, event.value)
            elif event.kind == "off":
                synth.noteoff(0, event.number)
            elif event.kind == "bend":
                synth.pitch_bend(0, event.value)
            else:
                synth.cc(0, event.number, event.value)
        if done < total:
            blocks.append(synth.get_samples(total - done))
        stereo = np.concatenate(blocks).reshape(-1, 2)[:total]
        return np.asarray(stereo.mean(axis=1) / INT16_FULL_SCALE, np.float32)
