"""Verdict of the guard: whether an adaptation helped its song. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.audio.formats import energy_dbfs

FLOOR_DBFS = -200.0  # of levels, so that every change is a number


class Outcome(StrEnum):
    """Answer to the question whether an adaptation helped."""

    HELPED = "helped"
    """An adapted network was kept."""
    DID_NOT = "did not"
    """The network was kept as it was."""
    CANNOT_TELL = "cannot tell"
    """Too little silence is marked to hold any back; the adapted network was kept, unjudged."""


@dataclass(frozen=True)
class SourceVerdict:
    """Leakage of one source on marked silence that training did not see."""

    source: str
    """Name of the source."""
    held_back_s: float
    """Seconds of its marked silence that were held back."""
    before_dbfs: float
    """Level of the base network's estimate there, before marks are applied."""
    after_dbfs: float
    """Level of the kept network's estimate there; that of the last epoch if the base was kept."""

    @property
    def change_db(self) -> float:
        """Change of the leakage; below 0 = less."""
        return self.after_dbfs - self.before_dbfs


@dataclass(frozen=True)
class Verdict:
    """Whether an adaptation helped, and what was kept."""

    outcome: Outcome
    """The answer."""
    kept_epoch: int
    """Epoch whose network separated the song; 0 = the base, or, if it HELPED, the adapter it started from."""
    held_back_s: float
    """Seconds of marked silence that were held back, all sources together."""
    sources: tuple[SourceVerdict, ...] = ()
    """Sources of which silence was held back."""

    @property
    def sentence(self) -> str:
        """The verdict for people, without a full stop."""
        if self.outcome is Outcome.CANNOT_TELL:
            return (
                "cannot tell whether fine-tuning helped: too little silence is marked to hold some of it back"
            )
        if self.outcome is Outcome.DID_NOT:
            return "kept the network as it was: fine-tuning did not help this song"
        changes = ", ".join(f"{row.source} {row.change_db:+.1f} dB" for row in self.sources)
        kept = f"epoch {self.kept_epoch}" if self.kept_epoch else "what it started from"
        return f"kept {kept}: leakage of {changes} on silence it had not seen"


def level_dbfs(mean_square: float, std: float) -> float:
    """Level of an estimate of a normalised song, whose standard deviation was `std`."""
    return energy_dbfs(mean_square * std**2, FLOOR_DBFS)
