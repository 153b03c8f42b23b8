"""Single notes out of soundfonts, played by FluidSynth (only when a bank is built)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugosa_research.songs.bank.pools import INT16_FULL_SCALE, SAMPLE_RATE_HZ
from ugosa_server.errors import ConfigError

DRUM_BANK = 128
SYNTH_GAIN = 0.35


class SoundfontPlayer:
    """Plays one note at a time, dry, to mono."""

    def __init__(self) -> None:
        try:
            import fluidsynth  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:  # of the binding, or of the library that it binds
            raise ConfigError(
                "notes are played by FluidSynth: pip install 'ugosa-research[train]', and install the Debian "
                f"package libfluidsynth3 ({error})"
            ) from error
        self._synth: Any = fluidsynth.Synth(samplerate=float(SAMPLE_RATE_HZ), gain=SYNTH_GAIN)
        self._synth.setting("synth.dynamic-sample-loading", 1)
        self._synth.setting("synth.reverb.active", 0)
        self._synth.setting("synth.chorus.active", 0)
        self._loaded: dict[Path, int] = {}

    def note(
        self,
        soundfont: Path,
        bank: int,
        program: int,
        key: int,
        velocity: int,
        held_s: float,
        ringing_s: float,
    ) -> NDArray[np.float32]:
        """Hold `key` for `held_s` and let it ring for `ringing_s`: [T]."""
        if soundfont not in self._loaded:
            self._loaded[soundfont] = self._synth.sfload(str(soundfont))
        self._synth.system_reset()
        self._synth.program_select(0, self._loaded[soundfont], bank, program)
        self._synth.noteon(0, key, velocity)
        held = self._samples(held_s)
        self._synth.noteoff(0, key)
        return np.concatenate([held, self._samples(ringing_s)])

    def _samples(self, duration_s: float) -> NDArray[np.float32]:
        stereo = self._synth.get_samples(int(duration_s * SAMPLE_RATE_HZ)).reshape(-1, 2)
        return np.asarray(stereo.mean(axis=1) / INT16_FULL_SCALE, np.float32)
