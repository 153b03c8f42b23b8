"""A real worker hears a song; marks are checked against it and proposed, by library and by command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helpers.jobs import QUICK, silent
from tests.helpers.server import Server, StartServer
from tests.helpers.songs import SOURCES, make_song, write_song
from ugosa_client import (
    JobKind,
    JobPhase,
    JobState,
    Mark,
    MarkState,
    Progress,
    SeparationRequest,
    Severity,
    UgosaClient,
)
from ugosa_client.cli import main
from ugosa_client.errors import MarksFileError, NotFoundError, WrongStateError
from ugosa_client.marks.file import read_marks

RATE_HZ = 44100
FRAMES = 4 * RATE_HZ
STARTER = ("--model", "starter")  # which hears something; the tiny network leaves all in doubt


def song_file(folder: Path, seed: int) -> Path:
    return write_song(make_song(FRAMES, RATE_HZ, seed=seed), folder / "my söng.wav")


def analyse(client: UgosaClient, song: Path) -> tuple[str, str]:
    """Return the upload and the job in which it was heard."""
    upload = client.upload(song)
    job = client.analyse(upload.upload_id)
    list(client.watch(job.job_id))
    return upload.upload_id, job.job_id


def test_listening_is_a_job_of_two_phases_without_stems(client: UgosaClient, tmp_path: Path) -> None:
    upload = client.upload(song_file(tmp_path, 1))
    job = client.analyse(upload.upload_id)
    assert job.kind is JobKind.ANALYSIS
    events = list(client.watch(job.job_id))
    phases = {event.phase for event in events if isinstance(event, Progress)}
    assert phases == {JobPhase.PREPARE, JobPhase.BASE_SEPARATION}
    job = client.get_job(job.job_id)
    assert (job.state, job.stems) == (JobState.SUCCEEDED, ())
    with pytest.raises(NotFoundError, match="analysis job"):
        client.fetch(job.job_id, tmp_path / "out")


def test_a_song_is_heard_once(client: UgosaClient, tmp_path: Path) -> None:
    upload_id, job_id = analyse(client, song_file(tmp_path, 2))
    again = client.analyse(upload_id)
    assert (again.job_id, again.state) == (job_id, JobState.SUCCEEDED)


def test_a_separation_has_heard_the_song_too(client: UgosaClient, tmp_path: Path) -> None:
    song = song_file(tmp_path, 3)
    done = client.separate(
        SeparationRequest(song, marks=[silent("bass", 0, RATE_HZ)], options=QUICK), tmp_path / "out"
    )
    assert client.analyse(client.upload(song).upload_id).job_id == done.job.job_id


def test_a_song_that_was_not_heard_has_no_suggestions(client: UgosaClient, tmp_path: Path) -> None:
    upload = client.upload(song_file(tmp_path, 4))
    with pytest.raises(WrongStateError, match="call Listen") as refusal:
        client.suggest_marks(upload.upload_id)
    assert refusal.value.reason == "NOT_HEARD"


def test_suggestions_are_marks_that_a_job_takes(client: UgosaClient, tmp_path: Path) -> None:
    upload_id, _ = analyse(client, song_file(tmp_path, 5))
    suggestions = client.suggest_marks(upload_id)
    marks = [suggestion.mark for suggestion in suggestions]
    assert all(0.5 <= suggestion.confidence <= 1 for suggestion in suggestions)
    assert {finding.severity for finding in client.lint_marks(upload_id, marks).findings} <= {
        Severity.WARNING,
        Severity.INFO,
    }
    job = client.create_job(upload_id, marks=marks, options=QUICK)
    list(client.watch(job.job_id))
    assert client.get_job(job.job_id).state is JobState.SUCCEEDED


def test_marks_that_a_job_refuses_are_findings(client: UgosaClient, tmp_path: Path) -> None:
    upload = client.upload(song_file(tmp_path, 6))
    marks = [
        silent("vocls", 0, RATE_HZ),
        silent("bass", 0, FRAMES + 1),
        silent("drums", 0, RATE_HZ),
        Mark("drums", MarkState.ACTIVE, RATE_HZ // 2, RATE_HZ),
        *(silent(source, 2 * RATE_HZ, 3 * RATE_HZ) for source in SOURCES),
    ]
    lint = client.lint_marks(upload.upload_id, marks)
    assert not lint.analysed
    errors = [finding for finding in lint.findings if finding.severity is Severity.ERROR]
    assert [finding.code for finding in errors] == [
        "UNKNOWN_SOURCE",
        "BAD_REGION",
        "CONTRADICTION",
        "ALL_SILENT",
    ]
    assert (errors[2].start_frame, errors[2].end_frame) == (RATE_HZ // 2, RATE_HZ)


def test_a_listening_job_survives_the_death_of_the_server(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with server.client() as client:
        upload_id, job_id = analyse(client, song_file(tmp_path, 7))
        suggestions = client.suggest_marks(upload_id)
    server.kill()
    with start_server().client() as client:
        assert client.suggest_marks(upload_id) == suggestions
        assert client.get_job(job_id).kind is JobKind.ANALYSIS


def run(server: Server, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    """Run `ugosa marks ... --json` and return the exit status and the last line."""
    code = main(["marks", *arguments, "--server", server.target, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_suggest_writes_a_file_that_lint_and_separate_take(
    shared_server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    song, out = song_file(tmp_path, 8), tmp_path / "suggested.txt"
    code, result = run(shared_server, capsys, "suggest", str(song), "-o", str(out), *STARTER)
    assert (code, result["ok"]) == (0, True)
    suggestions = result["suggestions"]
    assert isinstance(suggestions, list)
    assert re.fullmatch(r"(\S+\t\S+\t(no )?\w+ \d+% \?\n)+", out.read_text())
    with pytest.raises(MarksFileError, match=rf"holds suggestions \({len(suggestions)}\) and no mark"):
        read_marks(out, SOURCES, RATE_HZ, FRAMES)
    code, result = run(shared_server, capsys, "lint", str(song), "--marks", str(out), *STARTER)
    assert (code, result["heard"]) == (0, True)
    assert {finding["code"] for finding in result["findings"]} >= {"SUGGESTION"}  # type: ignore[attr-defined]
    accepted = tmp_path / "accepted.txt"
    for percent in (0, 100):
        words = ["convert", str(out), str(accepted), "--accept", str(percent), "--overwrite"]
        assert run(shared_server, capsys, *words)[0] == 0
        kept = sum(round(100 * suggestion["confidence"]) >= percent for suggestion in suggestions)
        assert len(read_marks(accepted, SOURCES, RATE_HZ, FRAMES)) == kept
    code, result = run(shared_server, capsys, "suggest", str(song), "-o", str(out))
    assert code == 2
    assert "--overwrite" in result["error"]["message"]  # type: ignore[index]


def test_lint_tells_all_of_a_file_and_of_the_song(
    shared_server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    song, marks = song_file(tmp_path, 9), tmp_path / "marks.txt"
    marks.write_text("0\t1\tno vocls\n0\t9\tdrums\n1\t2\tno bass\n1.5\t2\tbass\n2\t3\tonly drums\n")
    code, result = run(shared_server, capsys, "lint", str(song), "--marks", str(marks))
    assert (code, result["ok"]) == (2, False)
    findings = result["findings"]
    assert isinstance(findings, list)
    assert [(finding["code"], finding["line"]) for finding in findings] == [
        ("UNKNOWN_SOURCE", 1),
        ("OUT_OF_SONG", 2),
        ("CONTRADICTION", 4),
    ]  # and no word on what is marked nowhere: the marks to mend would count
    assert all(finding["fix"] for finding in findings)


def test_lint_of_a_reaper_project_names_regions_off_its_item(
    shared_server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    song_file(tmp_path, 10)
    project = tmp_path / "song.rpp"
    project.write_text(
        '<REAPER_PROJECT 0.1 "7.0" 0\n  MARKER 1 11 "no vocals" 1\n  MARKER 1 12 "" 1\n'
        '  MARKER 2 90 Outro 1\n  MARKER 2 91 "" 1\n  <TRACK\n    <ITEM\n      POSITION 10\n      LENGTH 4\n'
        '      <SOURCE WAVE\n        FILE "my söng.wav"\n      >\n    >\n  >\n>\n'
    )
    code, result = run(shared_server, capsys, "lint", str(project), "--listen")
    assert (code, result["heard"]) == (0, True)
    findings = result["findings"]
    assert isinstance(findings, list)
    assert ("OUTSIDE_ITEM", "Outro") in {(finding["code"], finding["region"]) for finding in findings}
