"""A job's progress as one self-contained datagram."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from pythonosc.osc_message_builder import OscMessageBuilder

PROGRESS_ADDRESS = "/ugosa/v1/job/progress"
MAX_DATAGRAM_BYTES = 1400  # below the MTU of Ethernet (1500) less IP and UDP headers: never fragmented
ETA_UNKNOWN_S = -1.0
TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})

_ELLIPSIS = "…"


@dataclass(frozen=True)
class JobSnapshot:
    """How a job is at one moment."""

    job_id: str
    """Server-made id."""
    seq: int
    """Sequence number of the job's newest event; 0 <= seq < 2^31."""
    state: str
    """QUEUED, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED."""
    fraction: float
    """Share of the job that is done, 0 to 1."""
    eta_s: float | None
    """Seconds to the end; None = unknown."""
    text: str
    """For people, for example "adapting, epoch 3 of 10"."""

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in TERMINAL_STATES


def encode(snapshot: JobSnapshot) -> bytes:
    """Return the datagram `/ugosa/v1/job/progress ,sisffs` of at most `MAX_DATAGRAM_BYTES`."""
    room = MAX_DATAGRAM_BYTES - len(_message(snapshot, ""))  # an empty string takes 4 bytes, as 0 to 3 do
    return _message(snapshot, _truncated(_one_line(snapshot.text), room + 3))


def _message(snapshot: JobSnapshot, text: str) -> bytes:
    builder = OscMessageBuilder(PROGRESS_ADDRESS)
    eta_s = ETA_UNKNOWN_S if snapshot.eta_s is None else snapshot.eta_s
    builder.add_arg(snapshot.job_id, "s")
    builder.add_arg(snapshot.seq, "i")
    builder.add_arg(snapshot.state, "s")
    builder.add_arg(snapshot.fraction, "f")
    builder.add_arg(eta_s, "f")
    builder.add_arg(text, "s")
    return bytes(builder.build().dgram)


def _one_line(text: str) -> str:
    """Replace control characters: a NUL would end the OSC string, a line break would break displays."""
    return "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text)


def _truncated(text: str, max_bytes: int) -> str:
    """Shorten text to `max_bytes` bytes of UTF-8, ending in an ellipsis and between characters."""
    encoded = text.encode("utf-8")
    if len(encoded) <= max_bytes:
        return text
    kept = encoded[: max_bytes - len(_ELLIPSIS.encode("utf-8"))]
    return kept.decode("utf-8", errors="ignore") + _ELLIPSIS
