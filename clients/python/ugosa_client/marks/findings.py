"""What is wrong, or doubtful, with marks: found here in a file, or by the server in a song."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """No job can be made of these marks."""
    WARNING = "warning"
    """The marks would be obeyed, and the stems may suffer."""
    INFO = "info"
    """Worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    code: str
    """Stable word, for example "UNKNOWN_SOURCE"."""
    severity: Severity
    """How bad it is."""
    message: str
    """What is so."""
    fix: str
    """What to do."""
    source: str = ""
    """The source that it is about; empty if it is none in particular."""
    start_frame: int | None = None
    """Where it begins in the song; None if it is about no place."""
    end_frame: int | None = None
    """Where it ends, exclusive."""
    line: int = 0
    """Line of the marks file; 0 if it is of none."""
    region: str = ""
    """Name of the region in the marks file; empty if it is of none."""

    @property
    def text(self) -> str:
        """Message and fix in one sentence."""
        return f"{self.message}; {self.fix}"

    @property
    def where(self) -> str:
        """How a message says which region of the file it means."""
        return f"line {self.line}" if self.line else f"region {self.region!r}"
