"""`report.html`: one page for people, which needs nothing else and plays the stem files beside it.

Its Content-Security-Policy allows inline style and script, and audio inside and beside the page. Who puts the
page beside stems writes their names into `FILES_ID`, by take and source (`ugosa fetch` does).
Every text that comes from a user is escaped where it enters the HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from ugosa_server.marks.validate import SILENCE_DBFS
from ugosa_server.report.data import JobReport, Listening, TakeKind
from ugosa_server.report.svg import Waveform, lanes, leakage_table, loss_chart, timing_bars
from ugosa_server.report.text import Card, cards, clock, count, level

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "media-src data: 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)

FILES_ID = "files"
"""Id of the JSON in the page that names the files beside it: {take: {source: relative path}}."""

WIDE_FACT = 40  # characters; longer ones take a row of their own

TAKE_TITLES = {
    TakeKind.BASE: "Model as it is",
    TakeKind.MARKED: "Model, your marks",
    TakeKind.ADAPTED: "Adapted, your marks",
}
TAKE_KEYS = "ABC"


def html_report(report: JobReport, listening: Listening, mix: Waveform, stems: Sequence[Waveform]) -> str:
    """Return the page; waveforms of the stems are in the report's order."""
    excerpt = (listening.start_frame, listening.start_frame + listening.frames)
    sections = [
        _header(report),
        f'<section class="verdicts">{"".join(_card(card) for card in cards(report))}</section>',
        _notices(report.notices),
        _section(
            "Listen",
            _transport(listening)
            + _legend(report)
            + lanes(report, mix, stems, excerpt)
            + _hints(report)
            + _data("listening", _listening(report, listening))
            + _data(FILES_ID, {}),
            "listen",
        ),
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
        if report.verdict.keeps_base:
            where += " (the adapted network was not kept)"
    return (
        f"<p>The level of what the network itself gives for an instrument {where}, as it came and after it "
        f"was adapted, in dBFS; lower is better, and what is below {level(SILENCE_DBFS)} is silence. The"
        " last column is the peak in the file, with your marks applied.</p>"
    )


def _header(report: JobReport) -> str:
    song = report.source
    channels = {1: "mono", 2: "stereo"}.get(song.channels, f"{song.channels} channels")
    facts = (
        clock(song.frames / song.sample_rate_hz),
        f"{song.sample_rate_hz / 1000:g} kHz",
        channels,
        song.encoding,
        count(len(report.stems), "stem"),
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


def _transport(listening: Listening) -> str:
    """Return the buttons above the lanes, which the page's script serves."""
    takes = "".join(
        f'<button class="take"><b>{key}</b> {TAKE_TITLES[kind]}<small></small></button>'
        for key, kind in zip(TAKE_KEYS, listening.takes, strict=False)
    )
    return (
        '<div class="transport"><button class="play" aria-label="play" title="Space"></button>'
        f'<button class="loop" title="L">loop</button><span class="time"></span>'
        f'<div class="takes" role="group" aria-label="Takes">{takes}</div></div>'
    )


def _hints(report: JobReport) -> str:
    job = escape(report.job_id)
    keys = (
        ("Space", "play, stop"), ("A B C", "take"), ("1-9", "solo"), ("Shift 1-9", "mute"), ("L", "loop"),
        ("\N{LEFTWARDS ARROW} \N{RIGHTWARDS ARROW}", "1 s"), ("Esc", "all as it was"),
    )  # fmt: skip
    said = "".join(f"<li><kbd>{key}</kbd> {what}</li>" for key, what in keys)
    return (
        f'<ul class="shortcuts">{said}<li>Click: go there. Drag: loop.</li></ul>'
        '<p class="hint beside" hidden>The stems are not beside this page; with them, it plays the whole '
        'song.</p><p class="hint more" hidden>To hear every take at any place: '
        f"<code>ugosa report {job} -o FOLDER --takes</code></p>"
    )


def _listening(report: JobReport, listening: Listening) -> dict[str, object]:
    """Return what the page's script plays."""
    rate = report.source.sample_rate_hz
    return {
        "sources": [stem.source for stem in report.stems],
        "song_s": report.source.frames / rate,
        "start_s": listening.start_frame / rate,
        "end_s": (listening.start_frame + listening.frames) / rate,
        "takes": [{"kind": kind, "clips": clips} for kind, clips in listening.takes.items()],
    }


def _data(element_id: str, values: object) -> str:
    text = json.dumps(values).replace("<", "\\u003c")  # which could end the element
    return f'<script id="{element_id}" type="application/json">{text}</script>'


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
