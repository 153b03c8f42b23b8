"""The plan of a run: the span of its previews, and work that grows as the song and its report do."""

from dataclasses import replace

import pytest

from tests.helpers.runs import run_spec
from tests.helpers.tiny_network import TINY
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.jobs.runs import RunPhase
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.pipeline.plan import Ensemble, densest_window, plan_phases

SILENT, ACTIVE = MarkState.SILENT, MarkState.ACTIVE
RATE_HZ = 44_100


def test_previews_lie_where_most_silence_is_marked():
    marks = [Mark("a", SILENT, 0, 30), Mark("a", SILENT, 500, 560), Mark("b", SILENT, 520, 600)]
    spans = {"a": [(0, 30), (500, 560)], "b": [(520, 600)]}

    def coverage(start):
        return sum(max(0, min(y, start + 50) - max(x, start)) for rows in spans.values() for x, y in rows)

    start, stop = densest_window(MarkSet(marks), 1000, 50)
    assert stop - start == 50
    assert coverage(start) == max(map(coverage, range(951)))


def test_previews_of_a_short_or_unmarked_song_begin_with_it():
    assert densest_window(MarkSet(), 1000, 50) == (0, 50)
    assert densest_window(MarkSet((Mark("bass", SILENT, 15, 40),)), 30, 50) == (0, 30)


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


def test_report_time_follows_previews_and_song_length(report_seconds):
    hour_s = 3600
    encoding_s = report_seconds() - report_seconds(threads=0)
    assert encoding_s == pytest.approx(9 * 20 * 2 * 0.0075)  # nine previews of 20 s, stereo
    plain_s = report_seconds(strategy="B0") - report_seconds(strategy="B0", threads=0)
    assert plain_s == pytest.approx(5 / 9 * encoding_s)
    assert report_seconds(threads=2) < report_seconds(threads=1)
    assert report_seconds(hour_s, threads=0) == pytest.approx(60 * report_seconds(60, threads=0))
    assert report_seconds(hour_s) - report_seconds(hour_s, threads=0) == pytest.approx(encoding_s)
    assert report_seconds(channels=1) < report_seconds(channels=2)
