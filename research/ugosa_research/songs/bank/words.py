"""Words for the bank: English words of one syllable, spoken by espeak-ng, for the singer to sing.

Syllables of voicebanks end on their vowel. Words also close: "night", "heart", "gone". The consonants at the
end are kept however long the vowel is held (see `singing.py`). The voices are synthetic (formants, up to 11
kHz), so they add articulation rather than timbre.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ugosa_server.errors import ConfigError

ESPEAK = "espeak-ng"
PREFIX = "words-"
VOICES = ("en-us", "en-us+f2", "en-gb+f4", "en-gb+m3", "en-us+m7")
WORDS_A_MINUTE = 110  # slow: vowels long enough to find their pitch in
WORDS = """
love heart night light day way say stay play rain pain train name game same flame fire time mind find
blind kind shine mine line fly high sky cry why try eye life wife ride side wide hide free me see be
dream stream deep sleep feel heal steel real need bleed leave breathe hand stand land band sand dance
chance past last fast black back track lack bad sad mad glad call fall wall all small ball song long
strong wrong gone road load home stone bone phone cold hold gold told soul roll stop drop top
rock clock lost cost door floor more war shore blood love touch rush run sun gun young blue true you
too moon soon room doom lose choose good could should look book took turn burn learn world girl word
hurt dirt first thirst boys noise voice choice down town crown sound ground found loud cloud proud
"""


def speak_words(folder: Path) -> dict[str, list[Path]]:
    """Write `folder/VOICE/WORD.wav` for every voice and word; returns the files by name of the voice.

    Raises:
        ConfigError: espeak-ng is not installed, or does not know a voice.
    """
    spoken: dict[str, list[Path]] = {}
    for voice in VOICES:
        out = folder / voice
        out.mkdir()
        files = [out / f"{word}.wav" for word in sorted(set(WORDS.split()))]
        for file in files:
            command = [ESPEAK, "-v", voice, "-s", str(WORDS_A_MINUTE), "-w", str(file), file.stem]
            try:
                subprocess.run(command, capture_output=True, check=True, timeout=60)
            except (OSError, subprocess.SubprocessError) as error:
                raise ConfigError(
                    f"the bank's words need {ESPEAK} (a Debian package) and its voice {voice}: {error}"
                ) from error
        spoken[PREFIX + voice] = files
    return spoken
