"""Audio players for the excerpt: each stem as the base network gave it and as the adapted one did."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from ugosa_server.report.data import JobReport, Preview
from ugosa_server.report.lanes import source_colour
from ugosa_server.report.wording import clock


@dataclass(frozen=True)
class _Row:
    name: str
    colour: str
    base: str | None
    adapted: str


def listening_room(report: JobReport, preview: Preview) -> str:
    """Return the players as HTML, with the audio inside."""
    rows = [_Row("mix", "var(--mix)", None, preview.mix)]
    for index, stem in enumerate(report.stems):
        base = None if preview.base is None else preview.base[index]
        rows.append(_Row(stem.source, source_colour(index), base, preview.adapted[index]))
    start_s = preview.start_frame / report.sample_rate_hz
    length_s = preview.frames / report.sample_rate_hz
    song_s = report.frames / report.sample_rate_hz
    compared = preview.base is not None
    heads = "<th>before adaptation</th><th>after adaptation</th>" if compared else "<th>stem</th>"
    body = "".join(_row(compared, row) for row in rows)
    return (
        f'<div class="room" data-start="{start_s:.6f}" data-song="{song_s:.6f}">'
        f"<p>{length_s:.0f} s from {clock(start_s)}. Switch while it plays: the position stays.</p>"
        f'<table class="takes"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(compared: bool, row: _Row) -> str:
    head = f'<th scope="row"><i class="dot"></i>{escape(row.name)}</th>'
    if not compared:
        cells = _take(row.name, row.adapted)
    elif row.base is None:  # the mix: nothing was adapted about it
        cells = _take(row.name, row.adapted, columns=2)
    else:
        cells = _take(f"{row.name} before adaptation", row.base)
        cells += _take(f"{row.name} after adaptation", row.adapted)
    return f'<tr style="--colour:{row.colour}">{head}{cells}</tr>'


def _take(name: str, data_uri: str, columns: int = 1) -> str:
    player = f'<audio controls preload="auto" aria-label="{escape(name)}" src="{data_uri}"></audio>'
    return f'<td class="take" colspan="{columns}">{player}</td>'
