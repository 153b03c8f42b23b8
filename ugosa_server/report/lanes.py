"""Waveforms of the mix and the stems on one time axis, with the marks drawn over them.

The drawings stretch with the page: positions are percentages and the SVG has no text in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ugosa_server.activations.marks import Mark
from ugosa_server.report.data import JobReport
from ugosa_server.report.waveform import Waveform
from ugosa_server.report.wording import clock

AMPLITUDE = 1000  # SVG units of full height, half above and half below the middle
TYPICAL_PEAK = 0.98  # quantile of the mix's peaks that the drawing is scaled to
HEADROOM = 1.15
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
MAX_TICKS = 9
PALETTE_SIZE = 6  # colours of the style sheet, --source-0 and on


def source_colour(index: int) -> str:
    """Return the CSS colour of a source by its place in the model's order."""
    return f"var(--source-{index % PALETTE_SIZE})"


def lanes(report: JobReport, mix: Waveform, stems: Sequence[Waveform], excerpt: tuple[int, int]) -> str:
    """Return the lanes as HTML.

    Args:
        report: the job, for names and marks.
        mix: its waveform.
        stems: theirs, in the report's order.
        excerpt: first and one past the last frame of what can be listened to.
    """
    scale = _scale(mix)
    rows = [_lane("mix", "var(--mix)", mix, scale, "")]
    for index, (stem, wave) in enumerate(zip(report.stems, stems, strict=True)):
        marks = "".join(_mark(mark, report) for mark in report.marks if mark.source == stem.source)
        rows.append(_lane(stem.source, source_colour(index), wave, scale, marks))
    return f'<div class="lanes">{"".join(rows)}{_axis(report, excerpt)}</div>'


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


def _lane(name: str, colour: str, wave: Waveform, scale: float, marks: str) -> str:
    box = f"0 {-AMPLITUDE // 2} {max(1, len(wave.high) - 1)} {AMPLITUDE}"
    return (
        f'<div class="lane" style="--colour:{colour}"><div class="lane-name">{escape(name)}</div>'
        f'<div class="lane-plot">{marks}'
        f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="Waveform of {escape(name)}">'
        f'<path d="{outline(wave, scale)}"/></svg><div class="playhead"></div></div></div>'
    )


def _mark(mark: Mark, report: JobReport) -> str:
    start_s, end_s = mark.start_frame / report.sample_rate_hz, mark.end_frame / report.sample_rate_hz
    said = f"{mark.source} marked {mark.state} from {clock(start_s)} to {clock(end_s)}"
    place = _place(mark.start_frame, mark.end_frame, report.frames)
    return f'<div class="mark {mark.state}" style="{place}" title="{escape(said)}"></div>'


def _axis(report: JobReport, excerpt: tuple[int, int]) -> str:
    length_s = report.frames / report.sample_rate_hz
    step_s = next((step for step in TICK_STEPS_S if length_s / step <= MAX_TICKS), TICK_STEPS_S[-1])
    ticks = "".join(
        f'<span class="tick" style="left:{100 * second / length_s:.3f}%">{clock(second)}</span>'
        for second in range(0, int(length_s) + 1, step_s)
    )
    heard = f'<div class="excerpt" style="{_place(*excerpt, report.frames)}"><span>excerpt</span></div>'
    plot = f'<div class="lane-plot">{heard}{ticks}</div>'
    return f'<div class="lane axis"><div class="lane-name"></div>{plot}</div>'


def _place(start_frame: int, end_frame: int, frames: int) -> str:
    left, width = 100 * start_frame / frames, 100 * (end_frame - start_frame) / frames
    return f"left:{left:.3f}%;width:{width:.3f}%"
