"""Words of the page for levels, times and verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from ugosa_server.marks.validate import SILENCE_DBFS
from ugosa_server.report.data import JobReport, StemReport

NULL_PROMISE_DBFS = -140.0

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Verdict:
    """One card at the head of the page: a question of the musician and its answer."""

    title: str
    """The question, as a title."""
    value: str
    """The answer in a word or a number."""
    detail: str
    """Meaning of the answer."""
    kept: bool | None = None
    """Whether a promise was kept; None = nothing was promised."""


def number(value: float, digits: int = 1) -> str:
    """Format a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def level(dbfs: float | None) -> str:
    """Format a level in dBFS."""
    if dbfs is None:
        return "\N{EN DASH}"
    return "digital silence" if dbfs == -math.inf else f"{number(dbfs)} dBFS"


def bare_level(dbfs: float | None) -> str:
    """Format a level where the unit stands elsewhere."""
    if dbfs is None:
        return "\N{EN DASH}"
    return f"{MINUS}\N{INFINITY}" if dbfs == -math.inf else number(dbfs)


def clock(seconds: float) -> str:
    """Format a position in a song: 1:05, or 1:02:03 past the hour."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """Format a wall time."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def count(quantity: int, noun: str) -> str:
    """Format a count with its noun."""
    return f"{quantity} {noun}" if quantity == 1 else f"{quantity} {noun}s"


def leakage_change_db(stem: StemReport) -> float | None:
    """Change of the leakage by the adaptation, below 0 = less; None when that is no number."""
    before, after = stem.leakage_before_dbfs, stem.leakage_after_dbfs
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return None
    return after - before


def verdicts(report: JobReport) -> list[Verdict]:
    """Return the cards at the head of the page."""
    return [_null(report.null_peak_dbfs), _silence(report), _leakage(report), _adaptation(report)]


def _null(peak_dbfs: float) -> Verdict:
    title = "Stems add up to the mix"
    if peak_dbfs == -math.inf:
        return Verdict(title, "exactly", "The sum of the stems is the mix, sample for sample.", kept=True)
    kept = peak_dbfs <= NULL_PROMISE_DBFS
    detail = "The largest difference between the sum of the stems and the mix."
    return Verdict(title, f"to {level(peak_dbfs)}", detail, kept)


def _silence(report: JobReport) -> Verdict:
    title = "Marked silence"
    peaks = [stem.silence_peak_dbfs for stem in report.stems if stem.silence_peak_dbfs is not None]
    if not peaks:
        return Verdict(title, "none marked", "No instrument was marked silent.")
    loudest = max(peaks)
    value = "is silent" if loudest == -math.inf else f"\N{LESS-THAN OR EQUAL TO} {level(loudest)}"
    detail = "The loudest sample of any stem inside its marks, past the 10 ms fades."
    return Verdict(title, value, detail, loudest <= SILENCE_DBFS)


def _leakage(report: JobReport) -> Verdict:
    title = "Leakage into marked silence"
    changes = [change for stem in report.stems if (change := leakage_change_db(stem)) is not None]
    if not changes:
        return Verdict(title, "not compared", "There is nothing to compare without adaptation and marks.")
    change_db = fmean(changes)
    value = f"{number(abs(change_db))} dB {'less' if change_db < 0 else 'more'}"
    return Verdict(
        title, value, "What the network itself lets through, before your marks are applied, on average."
    )


def _adaptation(report: JobReport) -> Verdict:
    title = "Adapted to this song"
    if report.trainable_parameters == 0:
        return Verdict(title, "no", f"{report.model_name} as it is.")
    epochs = len(report.epoch_losses)
    took = report.timings_s.get("adaptation")
    detail = f"{report.strategy}: {report.trainable_parameters:,} parameters, {count(epochs, 'epoch')}"
    return Verdict(title, "yes", detail + (f" in {duration(took)}." if took is not None else "."))
