"""A file's word against its bytes: the length that its header promises, the length that is there.

| there is | then |
|---|---|
| as much as promised | fine |
| less | refused: the song is cut short |
| more, and a player reaches it | all of it is the song |
| more, out of a player's reach | refused: a shorter song would go unnoticed |
| something, and nothing is promised | all of it is the song |

Programs that stream and cannot go back to their header write counts that also promise nothing
(`is_open_end`). Tags, padding, and bytes that no decoder takes for audio are no surplus, if they are few.
"""

from __future__ import annotations

from enum import StrEnum

from ugosa_server.errors import BadAudioError

MAX_JUNK_BYTES = 65_536  # padding, or bytes of no known kind, that may stand beside a song

# Sizes in bytes that writers leave in headers which they never come back to: all ones, the largest positive
# number, SoX's for AIFF and WAV. Some subtract the header from them or round to whole frames.
OPEN_ENDS = (0x7F00_0000, 0x7FFF_F000, 0x7FFF_FFFF, 0xFFFF_FFFF, 2**63 - 1, 2**64 - 1)
OPEN_END_SLACK_BYTES = 64


class Container(StrEnum):
    """The kinds of file that are accepted."""

    WAV = "WAV"
    AIFF = "AIFF"
    FLAC = "FLAC"
    OGG = "OGG"
    MP3 = "MP3"
    MP4 = "M4A"


def is_open_end(promised_bytes: int) -> bool:
    """Return whether a size is one of those that mean "unknown"; 0 is another, if samples follow."""
    return any(0 <= end - promised_bytes <= OPEN_END_SLACK_BYTES for end in OPEN_ENDS)


def require_all(container: str, promised: int, found: int, unit: str) -> None:
    """Check that as much is there as the header promises, counted in a unit such as "bytes of samples"."""
    if found < promised:
        raise BadAudioError(
            f"the {container} file is damaged or cut short: its header promises {promised} {unit}, but "
            f"{found} are there; export or copy it again"
        )


def refuse_surplus(container: str, promised: int, found: int, unit: str) -> BadAudioError:
    """Return the refusal of a file with audio that its header leaves out, and that players leave out too."""
    return BadAudioError(
        f"the {container} file holds more than its header counts: {promised} {unit} by the header, but "
        f"{found} are there. Players stop at the header's count; open the file in an audio editor that reads "
        "it whole, and export it again"
    )


def damaged(container: str, done_frames: int) -> BadAudioError:
    """Return the refusal of a file whose bytes cannot be decoded from some frame on."""
    return BadAudioError(
        f"the {container} file is damaged after frame {done_frames}: what follows cannot be decoded; export "
        "or copy it again"
    )
