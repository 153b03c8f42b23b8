"""Precision and recall of suggested marks, frame by frame, against the annotation of true stems.

For each class, silent and active, over all frames of a source:

    precision = suggested and so / suggested        recall = suggested and so / so
    F1 = 2 precision recall / (precision + recall)

Frames that a suggestion leaves unmarked count against the recall of both classes; those without a mark in the
annotation, where all sources are silent at once, count nowhere. Only sources that have a stem of their own
are scored: the annotation of several sources' sum says nothing of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugosa_research.evaluation.marks_files import read_marks
from ugosa_research.evaluation.preparation import EXACT_MARKS, MIX_FILE, PreparedSong
from ugosa_server.audio.decoding.child import DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.errors import UgosaError
from ugosa_server.jobs.options import JobOptionsRequest, resolve_job_options
from ugosa_server.jobs.runs import JobKind, RunEvent, RunFailed, RunSpec, RunSucceeded
from ugosa_server.marks import (
    Interval,
    Mark,
    MarkState,
    SongLevels,
    intersect,
    load_levels,
    merge,
    suggest_marks,
)
from ugosa_server.models.registry import ModelInfo
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job

ANALYSIS = JobOptionsRequest(kind=JobKind.ANALYSIS, adaptation={"strategy": "B0"})


@dataclass(frozen=True)
class FrameCounts:
    """Frames of one class, of a source or summed over several."""

    suggested: int
    """Frames that suggestions call so."""
    so: int
    """Frames that are so."""
    both: int
    """Frames that suggestions call so and that are."""

    def __add__(self, other: FrameCounts) -> FrameCounts:
        """Frames of both together."""
        return FrameCounts(self.suggested + other.suggested, self.so + other.so, self.both + other.both)

    @property
    def precision(self) -> float | None:
        """Share of what is suggested that is so; None when nothing is suggested."""
        return self.both / self.suggested if self.suggested else None

    @property
    def recall(self) -> float | None:
        """Share of what is so that is suggested; None when nothing is so."""
        return self.both / self.so if self.so else None

    @property
    def f1(self) -> float | None:
        """F1 = 2 both / (suggested + so); None when there is nothing of the class."""
        total = self.suggested + self.so
        return 2 * self.both / total if total else None


@dataclass(frozen=True)
class SourceScore:
    """Suggestions of one source of one song."""

    song: str
    """Name of the song."""
    source: str
    """Name of the source."""
    silent: FrameCounts
    """Class silent."""
    active: FrameCounts
    """Class active."""


def score_dataset(
    songs: Sequence[PreparedSong], model: ModelInfo, networks: ResidentNetworks
) -> Iterator[SourceScore]:
    """Have the network hear every song, and score what is suggested of each source with a stem of its own."""
    for song in songs:
        suggested = [suggestion.mark for suggestion in suggest_marks(hear(song, model, networks))]
        annotated = read_marks(song.folder / EXACT_MARKS)
        for stem in song.stems:
            if len(stem.sources) == 1:
                yield score_source(song.name, stem.sources[0], suggested, annotated)


def score_source(song: str, source: str, suggested: Sequence[Mark], annotated: Sequence[Mark]) -> SourceScore:
    """Compare the marks of one source, where the annotation has one."""
    known = _spans(annotated, source, *MarkState)
    counts = {}
    for state in MarkState:
        suggested_spans = intersect(_spans(suggested, source, state), known)
        true_spans = _spans(annotated, source, state)
        counts[state] = FrameCounts(
            _frames(suggested_spans), _frames(true_spans), _frames(intersect(suggested_spans, true_spans))
        )
    return SourceScore(song, source, counts[MarkState.SILENT], counts[MarkState.ACTIVE])


def hear(song: PreparedSong, model: ModelInfo, networks: ResidentNetworks) -> SongLevels:
    """Run the job that a server would run for Listen.

    Raises:
        UgosaError: the run failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out_dir = Path(scratch) / "out"
        out_dir.mkdir()
        source = decode(DecodeRequest(str(song.folder / MIX_FILE), str(Path(scratch) / "mix.f32")))
        spec = RunSpec(
            job_id="evaluation",
            attempt=1,
            source=source,
            file_name=song.name,
            marks=(),
            options=resolve_job_options(ANALYSIS, model),
            model_path=str(model.path),
            out_dir=str(out_dir),
        )
        ending: RunEvent | None = None
        for event in run_job(spec, networks, lambda wish: False):
            ending = event
        if isinstance(ending, RunFailed):
            raise UgosaError(f"{song.name}: {ending.message}")
        assert isinstance(ending, RunSucceeded)
        return load_levels(out_dir / ending.levels)


def suggestion_table(scores: Sequence[SourceScore]) -> str:
    """Markdown: precision, recall and F1 of both classes for each source, over all frames of all songs."""
    sources = list(dict.fromkeys(score.source for score in scores))
    rows = [(source, [score for score in scores if score.source == source]) for source in sources]
    rows.append(("all", list(scores)))
    lines = [
        "| source | songs | silent: precision | recall | F1 | active: precision | recall | F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in rows:
        cells = []
        for counts in (_total(s.silent for s in found), _total(s.active for s in found)):
            cells += [_cell(counts.precision), _cell(counts.recall), _cell(counts.f1)]
        n_songs = len({score.song for score in found})
        lines.append(f"| {name} | {n_songs} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _total(counts: Iterable[FrameCounts]) -> FrameCounts:
    return sum(counts, FrameCounts(0, 0, 0))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spans(marks: Sequence[Mark], source: str, *states: MarkState) -> list[Interval]:
    return merge((m.start_frame, m.end_frame) for m in marks if m.source == source and m.state in states)


def _frames(spans: Sequence[Interval]) -> int:
    return sum(stop - start for start, stop in spans)
