"""Verdict of the guard: whether an adaptation helped its song. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.marks.validate import SILENCE_DBFS

FLOOR_DBFS = -200.0  # of levels, so that every change is a number
NOTABLE_DB = 0.05  # of changes: less is 0.0 dB for people


class Outcome(StrEnum):
    """Answer to the question whether an adaptation helped."""

    HELPED = "helped"
    """An adapted network or a calibration of the masks was kept."""
    DID_NOT = "did not"
    """Everything was kept as it was."""
    CANNOT_TELL = "cannot tell"
    """Too little silence is marked to hold any back; the adapted network was kept, unjudged."""


@dataclass(frozen=True)
class SourceVerdict:
    """Leakage of one source on marked silence that training did not see."""

    source: str
    held_back_s: float
    before_dbfs: float
    """Level of the base network's estimate there, before marks are applied."""
    after_dbfs: float
    """Level of the kept network's estimate there; that of the last epoch if the base was kept."""

    @property
    def change_db(self) -> float:
        """Change of the leakage, below 0 = less; 0 between levels that are silence."""
        return max(self.after_dbfs, SILENCE_DBFS) - max(self.before_dbfs, SILENCE_DBFS)


@dataclass(frozen=True)
class Verdict:
    """Whether an adaptation helped, and what was kept."""

    outcome: Outcome
    kept_epoch: int
    """Epoch whose network separated the song; 0 = the base, or, if it HELPED, the adapter it started from."""
    held_back_s: float
    """Seconds of marked silence that were held back, all sources together."""
    sources: tuple[SourceVerdict, ...] = ()
    """Sources of which silence was held back."""

    remixes_db: float | None = None
    """Gain on remixes of what was held back, whose parts are known: the mean over sources and others.

    Of the kept network; that of the last epoch if the base was kept; None where nothing could be remixed.
    """
    keeps_base: bool = False
    """True if the network itself was kept as it was."""
    is_calibrated: bool = False
    """True if a calibration of its masks was kept."""

    @property
    def sentence(self) -> str:
        """The verdict for people, without a full stop: what was kept, and what changed by how much."""
        if self.outcome is Outcome.CANNOT_TELL:
            return (
                "cannot tell whether fine-tuning helped: too little silence is marked to hold some of it back"
            )
        changes = self._changes()
        if self.outcome is Outcome.DID_NOT:
            sentence = "kept the network as it was: fine-tuning did not help this song"
            return f"{sentence} (after its last epoch: {changes})" if changes else sentence
        kept = f"epoch {self.kept_epoch}" if self.kept_epoch else "what it started from"
        if self.keeps_base:
            kept = "the network as it was"
        if self.is_calibrated:
            kept += " and calibrated its masks"
        return f"kept {kept}: {changes or 'better by less than 0.1 dB on silence it had not seen'}"

    def _changes(self) -> str:
        """Return what changed by 0.1 dB or more on what it had not seen; of a kept network gains first."""
        rows = [row for row in self.sources if _is_notable(row.change_db)]
        remixes_db = self.remixes_db if self.remixes_db and _is_notable(self.remixes_db) else 0.0
        if self.outcome is Outcome.DID_NOT:
            return _phrase(rows, remixes_db)
        gains = _phrase([row for row in rows if row.change_db < 0], max(0.0, remixes_db))
        losses = _phrase([row for row in rows if row.change_db > 0], min(0.0, remixes_db))
        return ", but ".join(filter(None, (gains, losses)))


def _phrase(rows: list[SourceVerdict], remixes_db: float) -> str:
    """Say the leakage of sources and the gain on remixes, 0 for none."""
    leakage = ", ".join(f"{row.source} {row.change_db:+.1f} dB" for row in rows)
    remixes = f"{remixes_db:+.1f} dB" if remixes_db else ""
    if not leakage:
        return remixes and f"remixes of silence it had not seen {remixes}"
    return f"leakage of {leakage} on silence it had not seen" + (remixes and f", remixes {remixes}")


def _is_notable(change_db: float) -> bool:
    return abs(change_db) >= NOTABLE_DB


def level_dbfs(mean_square: float, std: float) -> float:
    """Level of an estimate of a normalised song, whose standard deviation was `std`."""
    return energy_dbfs(mean_square * std**2, FLOOR_DBFS)
