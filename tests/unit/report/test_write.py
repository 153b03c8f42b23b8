"""The report as it lies beside the stems: what the files say, and that the page is safe and complete."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugosa_server.adaptation.objective import LossTerms
from ugosa_server.audio import SourceAudio
from ugosa_server.marks import Mark, MarkState
from ugosa_server.report import JobReport, Listening, StemReport, TakeKind, write_report
from ugosa_server.report.clips import clip_data_uri
from ugosa_server.report.svg import Waveform, WaveformMeter

RATE_HZ = 44100
FRAMES = 3 * RATE_HZ
SOURCES = ("drums", "bass", "other", "vocals")
EVIL = """<script>alert(1)</script> "quoted" & 'song' Größe.wav"""

REPORT = JobReport(
    job_id="job-1",
    file_name="Falcon 69.wav",
    server_version="0.1.0",
    model_name="starter",
    model_architecture="ConvTasNet",
    model_sha256="9f" * 32,
    adapter_sha256="41" * 32,
    strategy="P-L3:D",
    trainable_parameters=2_929_684,
    options={"epochs": 2, "hop_s": None, "learning_rate": 1e-5},
    seed=0,
    device="cpu",
    threads=2,
    source=SourceAudio("song.f32", RATE_HZ, 2, FRAMES, "WAV PCM_16", 0.5),
    stem_encoding="wav-float32",
    marks=(Mark("drums", MarkState.SILENT, 0, RATE_HZ), Mark("vocals", MarkState.ACTIVE, RATE_HZ, FRAMES)),
    timings_s={"prepare": 0.5, "adaptation": 75.0},
    epoch_losses=(LossTerms(0.06, 0.04, 0.02), LossTerms(0.03, 0.02, 0.01)),
    null_peak_dbfs=-math.inf,
    stems=(
        StemReport("drums", -3.0, -math.inf, -31.5, -44.0),
        *(StemReport(source, -6.0) for source in SOURCES[1:]),
    ),
    notices=("Something to know.",),
)


class Song:
    """A short song and its stems, and an excerpt of a quarter of a second."""

    def __init__(self, folder: Path, frames: int = FRAMES, amplitude: float = 0.2) -> None:
        random = np.random.default_rng(0)
        stems = random.uniform(-amplitude, amplitude, (len(SOURCES), frames, 2)).astype(np.float32)
        self.mix, *self.stems = (_waveform(audio) for audio in (stems.sum(axis=0), *stems))
        excerpt = stems[:, : min(frames, RATE_HZ // 4)]
        clips = tuple(clip_data_uri(audio.T, RATE_HZ, 64_000) for audio in excerpt)
        self.listening = Listening(dict.fromkeys(TakeKind, clips), 0, excerpt.shape[1])
        self.report = replace(REPORT, source=replace(REPORT.source, frames=frames))
        self.folder = folder

    def write(self, **changes: object) -> tuple[dict[str, object], str]:
        """Write the report and return what its two files hold."""
        listening = changes.pop("listening", self.listening)
        report = replace(self.report, **changes)  # type: ignore[arg-type]
        json_name, html_name = write_report(report, listening, self.mix, self.stems, self.folder)  # type: ignore[arg-type]
        text = (self.folder / json_name).read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_no_constant), (self.folder / html_name).read_text("utf-8")


def _waveform(audio: np.ndarray) -> Waveform:
    meter = WaveformMeter(len(audio))
    meter.add(audio)
    return meter.waveform()


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


class Page(HTMLParser):
    """The tags of a page, checked to be closed in order."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str, kind: str | None = None) -> int:
        """Count tags, of a CSS class if `kind` is given."""
        return sum(
            name == tag and (kind is None or kind in (attributes.get("class") or "").split())
            for name, attributes in self.tags
        )


@pytest.fixture
def song(tmp_path: Path) -> Song:
    return Song(tmp_path)


def test_json_is_strict_and_says_digital_silence_as_a_word(song: Song) -> None:
    document, _ = song.write(epoch_losses=(LossTerms(math.nan, math.inf, 0.0),))
    assert document["schema_version"] == 1
    assert document["null_peak_dbfs"] == "-inf"
    assert document["stems"][0]["silence_peak_dbfs"] == "-inf"  # type: ignore[index]
    assert document["stems"][1]["silence_peak_dbfs"] is None  # type: ignore[index]
    assert document["adaptation"]["epoch_losses"][0] == {  # type: ignore[index]
        "epoch": 1, "total": "nan", "reconstruction": "inf", "silence": 0.0,
    }  # fmt: skip


def test_json_says_marks_in_frames_and_options_as_used(song: Song) -> None:
    document, _ = song.write()
    assert document["marks"][0] == {  # type: ignore[index]
        "source": "drums", "state": "silent", "start_frame": 0, "end_frame": RATE_HZ,
    }  # fmt: skip
    assert document["options"] == {"epochs": 2, "hop_s": None, "learning_rate": 1e-5}
    assert list(document["timings_s"]) == ["prepare", "adaptation"]  # type: ignore[call-overload]


def test_the_same_report_is_the_same_bytes(song: Song) -> None:
    assert song.write() == song.write()


def test_only_finished_files_are_left(song: Song) -> None:
    song.write()
    assert not list(song.folder.glob("*.tmp"))


def test_text_from_outside_cannot_become_markup(song: Song) -> None:
    stems = (StemReport("<b>drums</b>", -3.0, -math.inf, -31.5, -44.0), *REPORT.stems[1:])
    marks = (Mark("<b>drums</b>", MarkState.SILENT, 0, 10),)
    plain = Page(song.write()[1])
    page = song.write(
        file_name=EVIL, stems=stems, marks=marks, notices=(EVIL,), model_name=EVIL, device=EVIL,
        source=replace(REPORT.source, encoding=EVIL), options={"<i>": EVIL},
    )[1]  # fmt: skip
    evil = Page(page)
    assert evil.count("script") == plain.count("script") == 3
    assert evil.count("i") == plain.count("i")
    assert evil.count("b") == plain.count("b")
    assert EVIL in evil.text  # and it can still be read


def test_the_page_needs_nothing_from_outside(song: Song) -> None:
    _, page = song.write()
    for way_out in ("http:", "https:", "url(", "@import"):  # base64 has no colon, bracket or @
        assert way_out not in page
    assert not [a for _, a in Page(page).tags if {"src", "href"} & a.keys()]
    assert "default-src 'none'" in page
    assert "media-src data: 'self' file:;" in page  # stems beside it


def data_of(page: str, element_id: str) -> Any:
    """Return the JSON that the page's script reads from an element."""
    found = re.search(f'<script id="{element_id}" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_has_every_take_and_stays_small(song: Song) -> None:
    _, page = song.write()
    listening = data_of(page, "listening")
    assert [take["kind"] for take in listening["takes"]] == ["base", "marked", "adapted"]
    assert all(clip.startswith("data:audio/ogg") for take in listening["takes"] for clip in take["clips"])
    assert [len(take["clips"]) for take in listening["takes"]] == [len(SOURCES)] * 3
    assert (listening["start_s"], listening["end_s"], listening["song_s"]) == (0.0, 0.25, 3.0)
    assert data_of(page, "files") == {}  # until a client puts the page beside stems
    assert Page(page).count("button", "take") == 3
    assert Page(page).count("button", "solo") == Page(page).count("button", "mute") == len(SOURCES)


def test_a_page_without_excerpt_is_a_drawing_and_a_player(song: Song) -> None:
    _, page = song.write(listening=Listening({TakeKind.MARKED: ()}))
    assert len(page) < 200_000
    assert data_of(page, "listening")["takes"] == [{"kind": "marked", "clips": []}]


def test_the_page_draws_every_lane_and_every_mark(song: Song) -> None:
    page = Page(song.write()[1])
    assert page.count("svg") == 1 + len(SOURCES) + 1  # mix, stems, loss
    assert page.count("div", "silent") == 1
    assert page.count("div", "active") == 1
    drawn = [a for _, a in page.tags if a.get("class") == "mark silent" and "title" in a]
    assert drawn[0]["style"] == "left:0.000%;width:33.333%"
    assert drawn[0]["title"] == "drums marked silent from 0:00 to 0:01"


def test_the_page_says_what_was_promised_and_kept(song: Song) -> None:
    page = Page(song.write()[1])
    assert page.count("div", "kept") == 2
    assert "exactly" in page.text
    assert "12.5 dB less" in page.text


def test_the_page_says_what_was_promised_and_broken(song: Song) -> None:
    stems = (replace(REPORT.stems[0], silence_peak_dbfs=-60.0), *REPORT.stems[1:])
    page = Page(song.write(null_peak_dbfs=-31.0, stems=stems)[1])
    assert page.count("div", "broken") == 2
    assert "to \N{MINUS SIGN}31.0 dBFS" in page.text
    assert "\N{MINUS SIGN}60.0 dBFS" in page.text


def test_plain_separation_makes_a_page_without_empty_charts(song: Song) -> None:
    stems = tuple(StemReport(source, -6.0) for source in SOURCES)
    _, html = song.write(
        marks=(), epoch_losses=(), stems=stems, adapter_sha256=None, trainable_parameters=0, strategy="B0",
        notices=(), listening=Listening({TakeKind.BASE: ()}),
    )  # fmt: skip
    page = Page(html)
    assert page.count("svg") == 1 + len(SOURCES)
    assert page.count("button", "take") == 1
    assert "No regions were marked" in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("frames", [1, 2, 1000])
def test_the_shortest_songs_have_a_report(tmp_path: Path, frames: int) -> None:
    song = Song(tmp_path, frames=frames)
    page = Page(song.write(marks=(Mark("drums", MarkState.SILENT, 0, frames),))[1])
    assert page.count("div", "silent") == 1


def test_a_silent_song_has_a_report(tmp_path: Path) -> None:
    assert Page(Song(tmp_path, amplitude=0.0).write()[1]).count("svg") == 1 + len(SOURCES) + 1
