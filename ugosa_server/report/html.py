"""`report.html`: one page that needs nothing else, for people.

The page may fetch nothing: its Content-Security-Policy allows inline style and script and data URIs only.
Every text that comes from a user is escaped where it enters the HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from ugosa_server.report.data import JobReport, Preview
from ugosa_server.report.svg import Waveform, lanes, leakage_table, loss_chart, source_colour, timing_bars
from ugosa_server.report.text import Card, cards, clock, count

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data:; "
    "base-uri 'none'; form-action 'none'"
)

WIDE_FACT = 40  # characters; longer ones take a row of their own


def html_report(report: JobReport, preview: Preview, mix: Waveform, stems: Sequence[Waveform]) -> str:
    """Return the page.

    Args:
        report: facts and measurements.
        preview: the excerpt.
        mix: the song's waveform.
        stems: their waveforms, in the report's order.
    """
    excerpt = (preview.start_frame, preview.start_frame + preview.frames)
    sections = [
        _header(report),
        f'<section class="verdicts">{"".join(_card(card) for card in cards(report))}</section>',
        _notices(report.notices),
        _section("Where everyone plays", _legend(report) + lanes(report, mix, stems, excerpt)),
        _section("Listen", _players(report, preview), "listen"),
        _section("Leakage in marked silence", _leakage_intro(report) + leakage_table(report)),
        _section("Learning", _LOSS_INTRO + loss_chart(report.epoch_losses)) if report.epoch_losses else "",
        _section("Time", timing_bars(report)),
        _section("How it was made", _facts(_provenance(report)) + _facts(_named(report.options))),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(report.file_name)} \N{MIDDLE DOT} stems</title>"
        f"<style>{_package_text('report.css')}</style></head><body><main>{''.join(sections)}</main>"
        f"<script>{_package_text('report.js')}</script></body></html>\n"
    )


_LOSS_INTRO = (
    "<p>What the adaptation makes smaller: <b>reconstruction</b> is the distance between the mix and the sum "
    "of the instruments that may play, <b>silence</b> the level of instruments where they are marked "
    "silent. With remixes (R-), these are the distances of what the stretch holds, and of what was added to "
    "it.</p>"
)


def _leakage_intro(report: JobReport) -> str:
    where = "where you marked it silent"
    if report.verdict is not None and report.verdict.sources:
        where = "in marked silence that was held back from training"
        if not report.verdict.kept_epoch:
            where += " (the adapted network was not kept)"
    return (
        f"<p>The level of what the network itself gives for an instrument {where}, as it came and after it "
        "was adapted, in dBFS; lower is better. The last column is the peak in the file, with your marks "
        "applied.</p>"
    )


def _header(report: JobReport) -> str:
    channels = {1: "mono", 2: "stereo"}.get(report.channels, f"{report.channels} channels")
    facts = (
        clock(report.frames / report.sample_rate_hz),
        f"{report.sample_rate_hz / 1000:g} kHz",
        channels,
        report.source_encoding,
        f"{len(report.stems)} stems",
    )
    said = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<header><p class="eyebrow">Stems of</p><h1>{escape(report.file_name)}</h1><ul>{said}</ul></header>'
    )


def _card(card: Card) -> str:
    kind = {True: "kept", False: "broken", None: "plain"}[card.kept]
    return (
        f'<div class="card {kind}"><h2>{escape(card.title)}</h2>'
        f'<p class="value">{escape(card.value)}</p><p>{escape(card.detail)}</p></div>'
    )


@dataclass(frozen=True)
class _PreviewRow:
    name: str
    colour: str
    base: str | None
    adapted: str


def _players(report: JobReport, preview: Preview) -> str:
    """Audio players of the previews, before and after the adaptation."""
    rows = [_PreviewRow("mix", "var(--mix)", None, preview.mix)]
    for index, stem in enumerate(report.stems):
        base = None if preview.base is None else preview.base[index]
        rows.append(_PreviewRow(stem.source, source_colour(index), base, preview.adapted[index]))
    start_s = preview.start_frame / report.sample_rate_hz
    length_s = preview.frames / report.sample_rate_hz
    song_s = report.frames / report.sample_rate_hz
    compared = preview.base is not None
    same = " Your marks are applied to both." if compared else ""
    heads = "<th>before adaptation</th><th>after adaptation</th>" if compared else "<th>stem</th>"
    body = "".join(_player_row(compared, row) for row in rows)
    return (
        f'<div class="room" data-start="{start_s:.6f}" data-song="{song_s:.6f}">'
        f"<p>{length_s:.0f} s from {clock(start_s)}. Switch while it plays: the position stays.{same}</p>"
        f'<table class="takes"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _player_row(compared: bool, row: _PreviewRow) -> str:
    head = f'<th scope="row"><i class="dot"></i>{escape(row.name)}</th>'
    if not compared:
        cells = _player(row.name, row.adapted)
    elif row.base is None:  # the mix: nothing was adapted about it
        cells = _player(row.name, row.adapted, columns=2)
    else:
        cells = _player(f"{row.name} before adaptation", row.base)
        cells += _player(f"{row.name} after adaptation", row.adapted)
    return f'<tr style="--colour:{row.colour}">{head}{cells}</tr>'


def _player(name: str, data_uri: str, columns: int = 1) -> str:
    player = f'<audio controls preload="auto" aria-label="{escape(name)}" src="{data_uri}"></audio>'
    return f'<td class="take" colspan="{columns}">{player}</td>'


def _notices(notices: Sequence[str]) -> str:
    if not notices:
        return ""
    return f'<ul class="notices">{"".join(f"<li>{escape(notice)}</li>" for notice in notices)}</ul>'


def _legend(report: JobReport) -> str:
    if not report.marks:
        return '<p class="quiet">No regions were marked.</p>'
    return (
        '<ul class="legend"><li><i class="mark silent"></i>marked silent</li>'
        '<li><i class="mark active"></i>marked active</li><li>unmarked: may play</li></ul>'
    )


def _section(title: str, body: str, kind: str = "") -> str:
    return f'<section class="panel {kind}"><h2>{title}</h2>{body}</section>'


def _provenance(report: JobReport) -> dict[str, str]:
    return {
        "job": report.job_id,
        "model": f"{report.model_name} ({report.model_architecture})",
        "model sha256": report.model_sha256,
        "adapter sha256": report.adapter_sha256 or "none: nothing was adapted",
        "strategy": f"{report.strategy}, {report.trainable_parameters:,} parameters trained",
        "stems": report.stem_encoding,
        "device": f"{report.device}, {count(report.threads, 'thread')}",
        "seed": str(report.seed),
        "server": report.server_version,
    }


def _named(options: Mapping[str, object]) -> dict[str, str]:
    return {
        name.replace("_", " "): "default" if value is None else str(value) for name, value in options.items()
    }


def _facts(facts: Mapping[str, str]) -> str:
    return f'<dl class="facts">{"".join(_fact(name, value) for name, value in facts.items())}</dl>'


def _fact(name: str, value: str) -> str:
    kind = ' class="wide"' if len(value) > WIDE_FACT else ""
    return f"<div{kind}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _package_text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
