"""Lint finds everything at once, says where, and gives a way out."""

import numpy as np
import pytest

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.marks import Mark, MarkState, Severity, SongLevels, lint_marks

RATE_HZ = 1000
SOURCES = ("drums", "bass", "other", "vocals")
FRAMES = 30 * RATE_HZ
ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT


@pytest.fixture
def song(tmp_path):
    """Noise from 5 s on, digital silence before."""
    samples = np.random.default_rng(0).normal(0, 0.1, (FRAMES, 1)).astype("<f4")
    samples[: 5 * RATE_HZ] = 0
    samples.tofile(tmp_path / "song.f32")
    return SourceAudio(str(tmp_path / "song.f32"), RATE_HZ, 1, FRAMES, "WAV PCM_16", 0.5)


def silent(source, start_s, end_s):
    return Mark(source, SILENT, round(start_s * RATE_HZ), round(end_s * RATE_HZ))


def coded(findings):
    return [(finding.code, finding.source, finding.span) for finding in findings]


ENOUGH = [silent(source, 6, 12) for source in SOURCES[1:]] + [silent("drums", 12, 18)]


def test_good_marks_have_no_findings(song):
    assert lint_marks(ENOUGH, SOURCES, song, None) == []


def test_all_is_found_at_once_errors_first(song):
    marks = [
        *ENOUGH,
        Mark("vocls", SILENT, 0, 10),
        Mark("bass", ACTIVE, 100, 100),
        Mark("bass", ACTIVE, 29_000, 30_001),
        Mark("vocals", ACTIVE, 11_000, 13_000),
        silent("drums", 20, 20.005),
    ]
    found = lint_marks(marks, SOURCES, song, None)
    assert coded(found) == [
        ("UNKNOWN_SOURCE", "vocls", (0, 10)),
        ("BAD_REGION", "bass", (100, 100)),
        ("CONTRADICTION", "vocals", (11_000, 12_000)),
        ("BAD_REGION", "bass", (29_000, 30_001)),
        ("SHORT_SILENCE", "drums", (20_000, 20_005)),
    ]
    assert [f.severity for f in found] == [Severity.ERROR] * 4 + [Severity.WARNING]
    assert 'did you mean "vocals"' in found[0].message
    assert "11.000 s to 12.000 s" in found[2].message
    assert all(finding.fix for finding in found)
    found = lint_marks([silent("drums", 29, 30.001)], SOURCES, song, None)
    assert [f.code for f in found] == ["BAD_REGION"]  # not: nothing is marked silent


def test_all_silent_is_an_error_only_where_the_mix_sounds(song):
    quiet = [silent(source, 0, 4) for source in SOURCES]
    loud = [silent(source, 20, 24) for source in SOURCES]
    assert lint_marks(quiet, SOURCES, song, None) == []
    (finding,) = lint_marks(quiet + loud, SOURCES, song, None)
    assert (finding.code, finding.severity) == ("ALL_SILENT", Severity.ERROR)
    assert finding.span[0] == pytest.approx(20_000, abs=10)


def test_little_silence_is_a_warning_with_its_amount(song):
    found = lint_marks([silent("bass", 6, 7.5), silent("vocals", 6, 8)], SOURCES, song, None)
    assert [(f.code, f.severity) for f in found[:1]] == [("THIN_COVERAGE", Severity.WARNING)]
    assert "3.5 s of silence" in found[0].message
    assert [(f.code, f.source, f.severity) for f in found[1:]] == [
        ("NO_SILENCE", "drums", Severity.INFO),
        ("NO_SILENCE", "other", Severity.INFO),
    ]


def test_unmarked_instruments_of_a_large_model_are_no_finding(song):
    marks = [silent("bass", 6, 12), Mark("vocals", ACTIVE, 6_000, 12_000)]
    found = lint_marks(marks, SOURCES, song, None, residual=("residual",))
    assert [(f.code, f.source, f.severity) for f in found] == [("NO_SILENCE", "vocals", Severity.INFO)]


def test_the_residual_counts_as_a_source_of_all_silent(song):
    marks = [silent("bass", 6, 12), silent("vocals", 6, 12)]
    assert lint_marks(marks, SOURCES, song, None, residual=("residual",)) == []
    (finding,) = lint_marks([*marks, silent("residual", 6, 12)], SOURCES, song, None, residual=("residual",))
    assert finding.code == "ALL_SILENT"


def test_no_silence_at_all_is_one_warning(song):
    found = lint_marks([Mark("bass", ACTIVE, 0, 10_000)], SOURCES, song, None)
    assert [(f.code, f.severity) for f in found] == [("NO_SILENCE", Severity.WARNING)]


def test_a_source_loud_in_its_silence_is_a_warning_with_times(song):
    hops = FRAMES // 50
    vocals = np.full(hops, -60.0)
    vocals[: 8 * 20] = -15.0  # plays for 8 s; marked silent from 6 s
    levels = SongLevels(
        "abc",
        RATE_HZ,
        FRAMES,
        50,
        (-12.0,) * hops,
        dict.fromkeys(SOURCES[:3], (-15.0,) * hops) | {"vocals": tuple(vocals)},
    )
    found = lint_marks([silent("vocals", 6, 20)], SOURCES, song, levels)
    assert coded(found[:1]) == [("SILENT_BUT_HEARD", "vocals", (6_000, 8_250))]  # half the smoothing more
    assert "-15.0 dBFS" in found[0].message
    assert "SILENT_BUT_HEARD" not in {
        f.code for f in lint_marks([silent("vocals", 9, 20)], SOURCES, song, levels)
    }
    assert "SILENT_BUT_HEARD" not in {
        f.code for f in lint_marks([silent("vocals", 6, 20)], SOURCES, song, None)
    }
