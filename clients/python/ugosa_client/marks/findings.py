"""Findings about marks, made here in a file or by the server in a song."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding."""

    ERROR = "error"
    """No job can be made of these marks."""
    WARNING = "warning"
    """The marks would be obeyed, and the stems may suffer."""
    INFO = "info"
    """A note."""


@dataclass(frozen=True)
class Finding:
    """One fault or doubt."""

    code: str
    """Stable word, for example "UNKNOWN_SOURCE"."""
    severity: Severity
    message: str
    fix: str
    source: str = ""
    """Source concerned; empty if none in particular."""
    start_frame: int | None = None
    """First frame concerned; None if it is about no place."""
    end_frame: int | None = None
    """End in frames, exclusive."""
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
        """Place in the file, as messages write it."""
        return f"line {self.line}" if self.line else f"region {self.region!r}"
