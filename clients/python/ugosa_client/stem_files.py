"""Names and kinds of the stems' files on disk."""

from __future__ import annotations

import os
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import soundfile

from ugosa_client.errors import BadInputError, OutputError
from ugosa_client.song import sound_path

FIELDS = ("stem", "song")
PATH_CHARACTERS = re.compile(r"[/\\]")
MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
MAX_VORBIS_RATE_HZ = 200_000  # its encoder has no mode above it, and libsndfile crashes
WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)
}


class LossyFormat(StrEnum):
    """Formats that the client makes of the stems: smaller, but stems no longer add up to the mix exactly."""

    MP3 = "mp3"
    OGG = "ogg"

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return f".{self.value}"


@dataclass(frozen=True)
class StemFiles:
    """Rule by which a job's stems become files."""

    name: str = "{stem}"
    """Name without suffix, in which {stem} and {song} stand for names."""
    lossy: LossyFormat | None = None
    """Format to encode the stems in when they are fetched; None = as the server made them."""

    def __post_init__(self) -> None:
        """Check the pattern.

        Raises:
            BadInputError: it has a path, another field, or no {stem}, so that stems would share a name.
        """
        if PATH_CHARACTERS.search(self.name):
            raise BadInputError(f"the name {self.name!r} has a path in it; name the folder with -o")
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.name) if field is not None]
        except ValueError as error:
            raise BadInputError(f"the name {self.name!r} cannot be read: {error}") from None
        for field in fields:
            if field not in FIELDS:
                raise BadInputError(
                    f"the name {self.name!r} has the field {{{field}}}; known are {{stem}} and {{song}}"
                )
        if "stem" not in fields:
            raise BadInputError(
                f"by the name {self.name!r} all stems would be one file; put {{stem}} into it"
            )

    def names(self, song: str, stems: Sequence[str], suffix: str) -> list[str]:
        """Return a safe and unique file name for each stem, of which the server gives files of a suffix."""
        suffix = self.lossy.suffix if self.lossy else suffix
        names: list[str] = []
        for stem in stems:
            base = safe_file_name(self.name.format(stem=stem, song=Path(song).stem))
            name, number = base + suffix, 1
            while name.casefold() in (taken.casefold() for taken in names):
                number += 1
                name = f"{base}_{number}{suffix}"
            names.append(name)
        return names


PLAIN = StemFiles()


def encode_lossy(path: Path, target: Path) -> None:
    """Encode a stem in the format of the target's suffix, whole or not at all.

    Raises:
        OutputError: the format cannot hold it.
    """
    partial = target.with_name(f"{target.name}.tmp")
    try:
        with soundfile.SoundFile(sound_path(path)) as stem:
            kind = target.suffix[1:].upper()
            name = sound_path(partial)
            with soundfile.SoundFile(name, "w", stem.samplerate, stem.channels, format=kind) as file:
                for block in stem.blocks(blocksize=1 << 16, dtype="float32"):
                    file.write(block.clip(-1.0, 1.0))
        os.replace(partial, target)
    except soundfile.LibsndfileError as error:
        partial.unlink(missing_ok=True)
        why = error.error_string.rstrip(".")
        message = f"{target.name} cannot be written: {why}; the stem is there as {path.name}"
        raise OutputError(message) from error


def check_lossy_rate(lossy: LossyFormat | None, sample_rate_hz: int) -> None:
    """Refuse a format that has no such rate.

    Raises:
        BadInputError: MP3 has few rates, and OGG ends at 200 kHz.
    """
    if lossy is LossyFormat.MP3 and sample_rate_hz not in MP3_RATES_HZ:
        *rates, highest = map(str, MP3_RATES_HZ)
        refusal = f"MP3 holds {', '.join(rates)} and {highest} Hz alone"
    elif lossy is LossyFormat.OGG and sample_rate_hz > MAX_VORBIS_RATE_HZ:
        refusal = f"OGG holds at most {MAX_VORBIS_RATE_HZ} Hz"
    else:
        return
    raise BadInputError(f"the song has {sample_rate_hz} Hz, but {refusal}; take --format wav-pcm24")


def safe_file_name(name: str) -> str:
    """Return a name of the server as a file name that is safe on every system.

    Letters and digits of every script stay; whatever a path, a shell or Windows could take otherwise becomes
    `_`.
    """
    safe = re.sub(r"[^\w\-. ]", "_", unicodedata.normalize("NFC", name)).strip(". ")[:100]
    if not safe or safe.split(".")[0].casefold() in WINDOWS_DEVICES:
        safe = f"_{safe}"
    return safe
