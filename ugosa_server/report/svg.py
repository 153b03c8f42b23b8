"""Drawings of the page: waveforms with marks, loss curve, leakage table, timings.

They stretch with the page: positions are percentages and the SVG has no text in it. A waveform is drawn from
the lowest and highest sample of every bin, taken block by block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from ugosa_server.adaptation import LossTerms
from ugosa_server.audio import SourceAudio
from ugosa_server.marks import Mark
from ugosa_server.marks.validate import SILENCE_DBFS
from ugosa_server.report.data import JobReport, StemReport
from ugosa_server.report.text import bare_level, change_db, clock, duration, leakage_dbfs, number

BINS = 1000  # more than a phone has pixels, about as many as a page on a screen


@dataclass(frozen=True)
class Waveform:
    """The extent of a signal over time, all channels together."""

    low: npt.NDArray[np.float32]
    """Lowest sample of each bin, [bins]."""
    high: npt.NDArray[np.float32]
    """Highest sample of each bin, [bins]."""

    @property
    def peak(self) -> float:
        """Largest absolute sample."""
        return float(max(self.high.max(), -self.low.min()))


class WaveformMeter:
    """Measures the waveform of a signal block by block."""

    def __init__(self, frames: int, bins: int = BINS) -> None:
        """Begin a signal.

        Args:
            frames: its length, at least 1.
            bins: number of equal spans to draw; fewer when it has fewer frames.
        """
        bins = min(bins, frames)
        # Strictly increasing, as bins <= frames.
        self._edges = np.arange(bins + 1, dtype=np.int64) * frames // bins
        self._low = np.full(bins, np.inf, np.float32)
        self._high = np.full(bins, -np.inf, np.float32)
        self._position = 0

    def add(self, block: npt.NDArray[np.floating]) -> None:
        """Take the next frames, [n, C], n at least 1."""
        start, end = self._position, self._position + len(block)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = int(np.searchsorted(self._edges, end, side="left"))  # one past the last bin of this block
        # In samples of all channels, which lie side by side: to reduce those first would take much longer.
        cuts = (np.maximum(self._edges[first:last], start) - start) * block.shape[1]
        samples = np.ravel(block)
        here = slice(first, last)
        self._low[here] = np.minimum(self._low[here], np.minimum.reduceat(samples, cuts))
        self._high[here] = np.maximum(self._high[here], np.maximum.reduceat(samples, cuts))
        self._position = end

    def waveform(self) -> Waveform:
        """Return the waveform, after the last frame."""
        return Waveform(self._low, self._high)


CURVES = ("total", "reconstruction", "silence")  # fields of LossTerms
PLOT_WIDTH, PLOT_HEIGHT = 1000, 300  # SVG units; the page stretches them
LEAKAGE_FLOOR_DBFS = SILENCE_DBFS  # left end of the leakage drawing; the right end is 0 dBFS


def loss_chart(losses: Sequence[LossTerms]) -> str:
    """Return the terms of Eq. 2 by epoch, from 0 upwards, without values that are no numbers."""
    curves = {name: [float(getattr(loss, name)) for loss in losses] for name in CURVES}
    numbers = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    top = max(numbers, default=0.0) or 1.0
    places = [PLOT_WIDTH / 2] if len(losses) == 1 else list(np.linspace(0, PLOT_WIDTH, len(losses)))
    lines, keys = [], []
    for name, curve in curves.items():
        points = [(x, value) for x, value in zip(places, curve, strict=True) if math.isfinite(value)]
        lines.append(_line(name, points, top))
        keys.append(_key(name, [value for _, value in points]))
    step = max(1, math.ceil(len(losses) / 10))
    epochs = "".join(
        f'<span class="tick" style="left:{x / PLOT_WIDTH:.2%}">{place * step + 1}</span>'
        for place, x in enumerate(places[::step])
    )
    return (
        f'<div class="loss"><ul class="keys">{"".join(keys)}</ul>'
        f'<div class="plot"><span class="y-top">{top:.3g}</span><span class="y-zero">0</span>'
        f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Loss by epoch">{"".join(lines)}</svg><div class="x-ticks">{epochs}</div></div>'
        '<p class="axis-title">epoch</p></div>'
    )


def leakage_table(report: JobReport) -> str:
    """Return the leakage before and after adaptation, a row for each stem with marked silence."""
    rows = [
        _leakage_row(index, stem, *leakage_dbfs(report, stem))
        for index, stem in enumerate(report.stems)
        if leakage_dbfs(report, stem) != (None, None)
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


def _line(name: str, points: Sequence[tuple[float, float]], top: float) -> str:
    places = [f"{x:.1f} {(1 - value / top) * PLOT_HEIGHT:.1f}" for x, value in points]
    if not places:
        return ""
    # A curve of one point is a line of no length, which round ends make a dot.
    return f'<path class="{name}" d="M{"L".join(places if len(places) > 1 else places * 2)}"/>'


def _key(name: str, values: Sequence[float]) -> str:
    said = f"{values[0]:.3g} \N{RIGHTWARDS ARROW} {values[-1]:.3g}" if values else "no number"
    return f'<li class="{name}"><b>{name}</b> {said}</li>'


def _leakage_row(index: int, stem: StemReport, before: float | None, after: float | None) -> str:
    changed_db = change_db(before, after)
    change, trend = "\N{EN DASH}", ""
    if changed_db is not None:
        change = f"{'+' if changed_db > 0 else ''}{number(changed_db)}"
        trend = "better" if changed_db < 0 else "worse" if changed_db > 0 else ""
    return (
        f'<tr style="--colour:{source_colour(index)}">'
        f'<th scope="row"><i class="dot"></i>{escape(stem.source)}</th>'
        f'<td class="number">{bare_level(before)}</td><td class="number">{bare_level(after)}</td>'
        f'<td class="number {trend}">{change}</td><td class="drawing">{_dumbbell(before, after)}</td>'
        f'<td class="number">{bare_level(stem.silence_peak_dbfs)}</td></tr>'
    )


def _dumbbell(before: float | None, after: float | None) -> str:
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


AMPLITUDE = 1000  # SVG units of full height, half above and half below the middle
TYPICAL_PEAK = 0.98  # quantile of the mix's peaks that the drawing is scaled to
HEADROOM = 1.15
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
MAX_TICKS = 9
MAX_KEYS = 9  # digits
PALETTE_SIZE = 6  # colours of the style sheet, --source-0 and on


def source_colour(index: int) -> str:
    """Return the CSS colour of a source by its place in the model's order."""
    return f"var(--source-{index % PALETTE_SIZE})"


def lanes(report: JobReport, mix: Waveform, stems: Sequence[Waveform], excerpt: tuple[int, int]) -> str:
    """Return the lanes of a job as HTML; its stems are in the report's order."""
    scale = _scale(mix)
    rows = [_lane("mix", "var(--mix)", mix, scale, "", "")]
    for index, (stem, wave) in enumerate(zip(report.stems, stems, strict=True)):
        marks = "".join(_mark(mark, report.source) for mark in report.marks if mark.source == stem.source)
        buttons = _buttons(stem.source, index)
        rows.append(_lane(stem.source, source_colour(index), wave, scale, marks, buttons))
    return f'<div class="lanes">{"".join(rows)}{_axis(report.source, excerpt)}</div>'


def outline(wave: Waveform, scale: float) -> str:
    """Return the SVG path around a waveform: along its highs and back along its lows."""
    half = AMPLITUDE // 2
    high = np.rint(-wave.high * half / scale).astype(int).tolist()
    low = np.rint(-wave.low * half / scale).astype(int).tolist()
    there = [f"{x} {y}" for x, y in enumerate(high)]
    back = [f"{x} {y}" for x, y in enumerate(low)]
    return "M" + "L".join(there + back[::-1]) + "Z"


def _scale(mix: Waveform) -> float:
    """Return the sample value that reaches the edge of every lane, so that levels compare.

    Not the very peak: one click would make a flat line of the song. What is higher is cut off in the drawing.
    """
    extent = np.maximum(mix.high, -mix.low)
    return HEADROOM * float(np.quantile(extent, TYPICAL_PEAK)) or mix.peak or 1.0


def _buttons(source: str, index: int) -> str:
    """Return the buttons of one stem, which the page's script serves."""
    key = f" ({index + 1})" if index < MAX_KEYS else ""
    said = escape(source)
    return (
        f'<span class="switches"><button class="solo" title="{said} alone{key}" aria-label="{said} alone">S'
        f'</button><button class="mute" title="without {said}" aria-label="without {said}">M</button></span>'
    )


def _lane(name: str, colour: str, wave: Waveform, scale: float, marks: str, buttons: str) -> str:
    box = f"0 {-AMPLITUDE // 2} {max(1, len(wave.high) - 1)} {AMPLITUDE}"
    kind = "lane stem" if buttons else "lane"
    return (
        f'<div class="{kind}" style="--colour:{colour}"><div class="lane-name">{escape(name)}{buttons}</div>'
        f'<div class="lane-plot">{marks}'
        f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="Waveform of {escape(name)}">'
        f'<path d="{outline(wave, scale)}"/></svg><div class="region"></div><div class="playhead"></div>'
        "</div></div>"
    )


def _mark(mark: Mark, song: SourceAudio) -> str:
    start, end = (clock(frame / song.sample_rate_hz) for frame in (mark.start_frame, mark.end_frame))
    said = f"{mark.source} marked {mark.state} from {start} to {end}"
    place = _place(mark.start_frame, mark.end_frame, song.frames)
    return f'<div class="mark {mark.state}" style="{place}" title="{escape(said)}"></div>'


def _axis(song: SourceAudio, excerpt: tuple[int, int]) -> str:
    length_s = song.frames / song.sample_rate_hz
    step_s = next((step for step in TICK_STEPS_S if length_s / step <= MAX_TICKS), TICK_STEPS_S[-1])
    ticks = "".join(
        f'<span class="tick" style="left:{100 * second / length_s:.3f}%">{clock(second)}</span>'
        for second in range(0, int(length_s) + 1, step_s)
    )
    preview = f'<div class="excerpt" style="{_place(*excerpt, song.frames)}"><span>excerpt</span></div>'
    plot = f'<div class="lane-plot">{preview}{ticks}</div>'
    return f'<div class="lane axis"><div class="lane-name"></div>{plot}</div>'


def _place(start_frame: int, end_frame: int, frames: int) -> str:
    left, width = 100 * start_frame / frames, 100 * (end_frame - start_frame) / frames
    return f"left:{left:.3f}%;width:{width:.3f}%"
