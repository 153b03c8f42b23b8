"""The 13 instruments of Solos and URMP: how they are called there, what they can play, what plays them.

Ranges are the sounding ones of orchestration books (MIDI keys), without the extremes of soloists.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.errors import ConfigError


@dataclass(frozen=True)
class Instrument:
    """One class of the Conditioned U-Net."""

    name: str
    """Name of the class, and of the stem."""
    folder: str
    """Its folder in Solos."""
    abbreviation: str
    """In the file names of URMP."""
    programs: tuple[int, ...]
    """General MIDI programs that are this instrument, counted from 0."""
    lowest_key: int
    highest_key: int
    vibrato: bool
    """Whether its players use vibrato as a rule."""


# In the order of the network's outputs, which is the alphabet.
INSTRUMENTS = (
    Instrument("bassoon", "Bassoon", "bn", (70,), 34, 67, vibrato=False),
    Instrument("cello", "Cello", "vc", (42,), 36, 72, vibrato=True),
    Instrument("clarinet", "Clarinet", "cl", (71,), 50, 89, vibrato=False),
    Instrument("doublebass", "DoubleBass", "db", (43,), 28, 55, vibrato=True),
    Instrument("flute", "Flute", "fl", (73,), 60, 94, vibrato=True),
    Instrument("horn", "Horn", "hn", (60,), 41, 77, vibrato=False),
    Instrument("oboe", "Oboe", "ob", (68,), 58, 88, vibrato=True),
    Instrument("saxophone", "Saxophone", "sax", (64, 65, 66), 44, 84, vibrato=True),
    Instrument("trombone", "Trombone", "tbn", (57,), 40, 70, vibrato=False),
    Instrument("trumpet", "Trumpet", "tpt", (56,), 54, 82, vibrato=False),
    Instrument("tuba", "Tuba", "tba", (58,), 29, 58, vibrato=False),
    Instrument("viola", "Viola", "va", (41,), 48, 84, vibrato=True),
    Instrument("violin", "Violin", "vn", (40,), 55, 96, vibrato=True),
)
INSTRUMENT_NAMES = tuple(instrument.name for instrument in INSTRUMENTS)
_BY_WORD = {
    word.lower(): instrument
    for instrument in INSTRUMENTS
    for word in (instrument.name, instrument.folder, instrument.abbreviation)
}


def instrument_named(word: str) -> Instrument:
    """The instrument of a class name, a Solos folder or a URMP abbreviation, in any case.

    Raises:
        ConfigError: there is none.
    """
    try:
        return _BY_WORD[word.lower()]
    except KeyError:
        names = ", ".join(f"{i.folder} ({i.abbreviation})" for i in INSTRUMENTS)
        raise ConfigError(f"{word!r} is no instrument of the Conditioned U-Net; those are {names}") from None
