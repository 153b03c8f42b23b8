"""Words of the page for levels, times and verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from ugosa_server.adaptation.verdict import NOTABLE_DB, Outcome
from ugosa_server.marks.validate import SILENCE_DBFS
from ugosa_server.report.data import JobReport, StemReport

NULL_PROMISE_DBFS = -140.0

MINUS = "\N{MINUS SIGN}"
ANSWERS = {
    Outcome.HELPED: "helped",
    Outcome.DID_NOT: "did not help",
    Outcome.CANNOT_TELL: "cannot tell",
}


@dataclass(frozen=True)
class Card:
    """One card at the head of the page: a question of the musician and its answer."""

    title: str
    value: str
    """The answer in a word or a number."""
    detail: str
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


def leakage_dbfs(report: JobReport, stem: StemReport) -> tuple[float | None, float | None]:
    """Return the leakage of a stem before and after: on held-back silence, if any of the job's was.

    With a verdict, stems of which nothing was held back have none.
    """
    if report.verdict is None or not report.verdict.sources:
        return stem.leakage_before_dbfs, stem.leakage_after_dbfs
    rows = {row.source: (row.before_dbfs, row.after_dbfs) for row in report.verdict.sources}
    return rows.get(stem.source, (None, None))


def change_db(before: float | None, after: float | None) -> float | None:
    """Change of a level, below 0 = less, 0 between levels that are silence; None when that is no number."""
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return None
    return max(after, SILENCE_DBFS) - max(before, SILENCE_DBFS)


def cards(report: JobReport) -> list[Card]:
    """Return the cards at the head of the page."""
    return [_verdict(report), _null(report.null_peak_dbfs), _silence(report), _leakage(report)]


def _null(peak_dbfs: float) -> Card:
    title = "Stems add up to the mix"
    if peak_dbfs == -math.inf:
        return Card(title, "exactly", "The sum of the stems is the mix, sample for sample.", kept=True)
    kept = peak_dbfs <= NULL_PROMISE_DBFS
    detail = "The largest difference between the sum of the stems and the mix."
    return Card(title, f"to {level(peak_dbfs)}", detail, kept)


def _silence(report: JobReport) -> Card:
    title = "Marked silence"
    peaks = [stem.silence_peak_dbfs for stem in report.stems if stem.silence_peak_dbfs is not None]
    if not peaks:
        return Card(title, "none marked", "No instrument was marked silent.")
    loudest = max(peaks)
    value = "is silent" if loudest == -math.inf else f"\N{LESS-THAN OR EQUAL TO} {level(loudest)}"
    detail = "The loudest sample of any stem inside its marks, past the 10 ms fades."
    return Card(title, value, detail, loudest <= SILENCE_DBFS)


def _leakage(report: JobReport) -> Card:
    title = "Leakage into marked silence"
    changes = [
        change for stem in report.stems if (change := change_db(*leakage_dbfs(report, stem))) is not None
    ]
    if not changes:
        return Card(title, "not compared", "There is nothing to compare without adaptation and marks.")
    mean_db = fmean(changes)
    value = f"{number(abs(mean_db))} dB {'less' if mean_db < 0 else 'more'}"
    if abs(mean_db) < NOTABLE_DB:
        value = "as before"
    where = "on silence that training had not seen" if report.verdict else "on the silence it was trained on"
    return Card(
        title, value, f"What the adapted network lets through, before your marks are applied, {where}."
    )


def _verdict(report: JobReport) -> Card:
    """Say first whether fine-tuning helped, or that there was none."""
    title = "Fine-tuned to this song"
    if report.trainable_parameters == 0:
        return Card(title, "no", f"{report.model_name} as it is.")
    took = report.timings_s.get("adaptation")
    made = f"{report.strategy}, {count(len(report.epoch_losses), 'epoch')}"
    made += f" in {duration(took)}." if took is not None else "."
    if report.verdict is None:
        return Card(title, "not judged", made)
    said = report.verdict.sentence
    said = (said[:1].upper() + said[1:]).replace(" -", f" {MINUS}")
    return Card(title, ANSWERS[report.verdict.outcome], f"{said}. {made}")
