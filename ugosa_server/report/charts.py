"""The loss curve, the leakage table and the timings, as HTML and SVG that stretch with the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from ugosa_server.report.data import EpochLoss, JobReport, StemReport
from ugosa_server.report.lanes import source_colour
from ugosa_server.report.wording import bare_level, duration, leakage_change_db, number

CURVES: tuple[tuple[str, Callable[[EpochLoss], float]], ...] = (
    ("total", lambda loss: loss.total),
    ("reconstruction", lambda loss: loss.reconstruction),
    ("silence", lambda loss: loss.silence),
)
PLOT_WIDTH, PLOT_HEIGHT = 1000, 300  # SVG units; the page stretches them
LEAKAGE_FLOOR_DBFS = -90.0  # left end of the leakage drawing; the right end is 0 dBFS


def loss_chart(losses: Sequence[EpochLoss]) -> str:
    """Return the terms of Eq. 2 by epoch, from 0 upwards; values that are no numbers are left out."""
    values = [curve(loss) for _, curve in CURVES for loss in losses]
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    lines, keys = [], []
    for name, curve in CURVES:
        points = [(loss.epoch, curve(loss)) for loss in losses if math.isfinite(curve(loss))]
        lines.append(_line(name, points, len(losses), top))
        keys.append(_key(name, [value for _, value in points]))
    epochs = "".join(
        f'<span class="tick" style="left:{_x(loss.epoch, len(losses)) / PLOT_WIDTH:.2%}">{loss.epoch}</span>'
        for loss in _thinned(losses)
    )
    return (
        f'<div class="loss"><ul class="keys">{"".join(keys)}</ul>'
        f'<div class="plot"><span class="y-top">{top:.3g}</span><span class="y-zero">0</span>'
        f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Loss by epoch">{"".join(lines)}</svg><div class="x-ticks">{epochs}</div></div>'
        '<p class="axis-title">epoch</p></div>'
    )


def leakage_table(stems: Sequence[StemReport]) -> str:
    """Return what leaks into marked silence, before and after, a row a stem that has some."""
    rows = [
        _leakage_row(index, stem)
        for index, stem in enumerate(stems)
        if stem.leakage_before_dbfs is not None or stem.leakage_after_dbfs is not None
    ]
    if not rows:
        return '<p class="quiet">No leakage was measured: no instrument was marked silent.</p>'
    return (
        '<div class="scroll"><table class="leakage"><thead><tr><th>stem</th>'
        '<th class="number">before</th><th class="number">after</th><th class="number">change</th>'
        f'<th class="drawing"><span>{number(LEAKAGE_FLOOR_DBFS, 0)}</span><span>0</span></th>'
        f'<th class="number">in the file</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def timing_bars(report: JobReport) -> str:
    """Return the wall time of each phase."""
    longest_s = max(report.timings_s.values(), default=0.0) or 1.0
    rows = "".join(
        f'<div class="timing"><span>{escape(phase.replace("_", " "))}</span>'
        f'<div class="bar" style="--share:{seconds / longest_s:.4f}"></div>'
        f"<span>{duration(seconds)}</span></div>"
        for phase, seconds in report.timings_s.items()
    )
    total = f'<p class="quiet">{duration(sum(report.timings_s.values()))} in all.</p>'
    return f'<div class="timings">{rows}</div>{total}'


def _x(epoch: int, epochs: int) -> float:
    return PLOT_WIDTH / 2 if epochs == 1 else (epoch - 1) / (epochs - 1) * PLOT_WIDTH


def _line(name: str, points: Sequence[tuple[int, float]], epochs: int, top: float) -> str:
    places = [f"{_x(epoch, epochs):.1f} {(1 - value / top) * PLOT_HEIGHT:.1f}" for epoch, value in points]
    if not places:
        return ""
    # A curve of one point is a line of no length, which round ends make a dot.
    return f'<path class="{name}" d="M{"L".join(places if len(places) > 1 else places * 2)}"/>'


def _key(name: str, values: Sequence[float]) -> str:
    said = f"{values[0]:.3g} \N{RIGHTWARDS ARROW} {values[-1]:.3g}" if values else "no number"
    return f'<li class="{name}"><b>{name}</b> {said}</li>'


def _thinned(losses: Sequence[EpochLoss]) -> Sequence[EpochLoss]:
    """Keep at most about ten ticks."""
    return losses[:: max(1, math.ceil(len(losses) / 10))]


def _leakage_row(index: int, stem: StemReport) -> str:
    change_db = leakage_change_db(stem)
    change, trend = "\N{EN DASH}", ""
    if change_db is not None:
        change = f"{'+' if change_db > 0 else ''}{number(change_db)}"
        trend = "better" if change_db < 0 else "worse"
    before, after = stem.leakage_before_dbfs, stem.leakage_after_dbfs
    return (
        f'<tr style="--colour:{source_colour(index)}">'
        f'<th scope="row"><i class="dot"></i>{escape(stem.source)}</th>'
        f'<td class="number">{bare_level(before)}</td><td class="number">{bare_level(after)}</td>'
        f'<td class="number {trend}">{change}</td><td class="drawing">{_dumbbell(before, after)}</td>'
        f'<td class="number">{bare_level(stem.silence_peak_dbfs)}</td></tr>'
    )


def _dumbbell(before: float | None, after: float | None) -> str:
    """Draw two levels and the way between them."""
    ends = [_share(value) for value in (before, after) if value is not None]
    span = f'<i class="span" style="left:{min(ends):.2%};width:{max(ends) - min(ends):.2%}"></i>'
    dots = "".join(
        f'<i class="{name}" style="left:{_share(value):.2%}"></i>'
        for name, value in (("before", before), ("after", after))
        if value is not None
    )
    return f'<div class="dumbbell" aria-hidden="true">{span}{dots}</div>'


def _share(dbfs: float) -> float:
    return min(1.0, max(0.0, 1 - dbfs / LEAKAGE_FLOOR_DBFS))
