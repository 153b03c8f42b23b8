"""The plan of a run: takes and excerpt of its report, and work that grows as the song and its report do."""

from dataclasses import replace

import pytest

from tests.helpers.runs import run_spec
from tests.helpers.tiny_network import TINY
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.jobs.runs import RunPhase
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.plan import Ensemble, excerpt_span, plan_phases, takes_of, telling_window
from ugosa_server.report import TakeKind

SILENT, ACTIVE = MarkState.SILENT, MarkState.ACTIVE
RATE_HZ = 44_100


def test_excerpt_lies_where_about_half_is_marked_silent():
    marks = [Mark("a", SILENT, 0, 30), Mark("a", SILENT, 500, 560), Mark("b", SILENT, 520, 600)]
    spans = {"a": [(0, 30), (500, 560)], "b": [(520, 600)]}

    def mixture(start):
        silent = [sum(max(0, min(y, start + 50) - max(x, start)) for x, y in rows) for rows in spans.values()]
        return sum(min(frames, 50 - frames) for frames in silent)

    start, stop = telling_window(MarkSet(marks), 1000, 50)
    assert stop - start == 50
    assert mixture(start) == max(map(mixture, range(951))) > 25


def test_excerpt_is_found_among_as_many_marks_as_a_job_may_have():
    marks = [Mark("a", SILENT, 10 * i, 10 * i + 2) for i in range(19_999)]
    start, stop = telling_window(MarkSet([*marks, Mark("b", SILENT, 500, 525)]), 200_000, 50)
    assert start <= 500 < 525 <= stop == start + 50


def test_excerpt_of_a_short_or_unmarked_song_begins_with_it():
    assert telling_window(MarkSet(), 1000, 50) == (0, 50)
    assert telling_window(MarkSet((Mark("bass", SILENT, 15, 40),)), 30, 50) == (0, 30)


@pytest.mark.parametrize(("n_stems", "has_excerpt"), [(14, True), (77, True), (78, False), (100, False)])
def test_excerpt_is_left_out_where_its_clips_have_no_room(tmp_path, n_stems, has_excerpt):
    spec = replace(run_spec(tmp_path, "no checkpoint"), stems=tuple(f"stem {i}" for i in range(n_stems)))
    start, stop = excerpt_span(spec, Ensemble.of(spec, TINY), parse_strategy("P-L3:D"))
    assert (start < stop) == has_excerpt


def test_takes_of_a_run_are_those_that_differ(tmp_path):
    def takes(strategy, **changes):
        return takes_of(run_spec(tmp_path, "no checkpoint", **changes), parse_strategy(strategy))

    assert takes("P-L3:D") == tuple(TakeKind)
    assert takes("B0") == (TakeKind.BASE, TakeKind.MARKED)
    assert takes("B0", marks=()) == (TakeKind.BASE,)
    assert takes("R-L3:D", marks=()) == (TakeKind.BASE, TakeKind.ADAPTED)


@pytest.fixture
def report_seconds(tmp_path):
    """Planned seconds of the REPORT phase."""

    def plan(duration_s=60, strategy="P-L3:D", threads=1, **changes):
        spec = run_spec(tmp_path, "no checkpoint", n_frames=RATE_HZ, rate_hz=RATE_HZ, **changes)
        spec = replace(spec, source=replace(spec.source, frames=duration_s * RATE_HZ))
        ensemble = Ensemble.of(spec, TINY)
        *_, report = plan_phases(spec, parse_strategy(strategy), ensemble, TINY, threads)
        assert report.phase is RunPhase.REPORT
        return report.other_s

    return plan


def test_report_time_follows_clips_and_song_length(report_seconds):
    hour_s = 3600
    encoding_s = report_seconds() - report_seconds(excerpt=False)
    assert encoding_s == pytest.approx(12 * 8 * 2 * 0.004)  # three takes of four stems, 8 s, stereo
    plain_s = report_seconds(strategy="B0") - report_seconds(strategy="B0", excerpt=False)
    assert plain_s == pytest.approx(8 / 12 * encoding_s)
    assert report_seconds(threads=2) < report_seconds(threads=1)
    assert report_seconds(hour_s, excerpt=False) == pytest.approx(60 * report_seconds(60, excerpt=False))
    assert report_seconds(hour_s) - report_seconds(hour_s, excerpt=False) == pytest.approx(encoding_s)
    assert report_seconds(channels=1) < report_seconds(channels=2)
