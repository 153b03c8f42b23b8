"""Versions of a song and their takes, from its jobs."""

from __future__ import annotations

from dataclasses import replace

from ugosa_client.resources import (
    Job,
    JobOptions,
    JobState,
    Mark,
    MarkState,
    Stem,
    StemEncoding,
    Verdict,
    VerdictOutcome,
)
from ugosa_client.web.song_versions import song_versions, versions_json

VOCALS = Mark("vocals", MarkState.SILENT, 0, 44100)
DRUMS = Mark("drums", MarkState.SILENT, 0, 44100)


def job_of(
    name: str,
    *marks: Mark,
    strategy: str = "R-L3:D",
    model: str = "band",
    state: JobState = JobState.SUCCEEDED,
    gives_base: bool = False,
) -> Job:
    stems = (Stem("drums", StemEncoding.WAV_FLOAT32, 44100, 2, 44100, 1, "0"),)
    return Job(
        job_id=name,
        request_id="",
        upload_id="",
        state=state,
        options=JobOptions(model=model, strategy=strategy),
        marks=marks,
        attempt=1,
        queue_position=0,
        fraction=1.0,
        last_seq=1,
        create_time=None,
        start_time=None,
        end_time=None,
        failure=None,
        stems=stems if state is JobState.SUCCEEDED else (),
        audio=None,
        file_name="",
        base_stems=tuple(replace(stem, is_base=True) for stem in stems) if gives_base else (),
    )


def takes_of(*jobs: Job) -> list[list[tuple[str, str]]]:
    """Names and jobs of the takes of each version, newest first."""
    return [[(take.name, take.job.job_id) for take in version.takes] for version in song_versions(jobs)]


def test_base_of_the_same_marks_is_a_take_of_the_adapted_one():
    adapted, base = job_of("adapted", VOCALS, DRUMS), job_of("base", DRUMS, VOCALS, strategy="B0")
    assert takes_of(adapted, base) == [[("Under your marks", "base"), ("Adapted", "adapted")]]


def test_base_stems_of_a_job_are_a_take_while_it_runs_and_after():
    running = job_of("job", VOCALS, state=JobState.RUNNING, gives_base=True)
    assert takes_of(running) == [[("Under your marks", "job")]]
    ended = job_of("job", VOCALS, gives_base=True)
    assert takes_of(ended) == [[("Under your marks", "job"), ("Adapted", "job")]]
    (version,) = song_versions([ended])
    assert [take.is_base for take in version.takes] == [True, False]


def test_kept_model_is_no_adapted_take():
    verdict = Verdict(VerdictOutcome.DID_NOT, 0, 4.0, (), "kept the network as it was")
    with_base = replace(job_of("job", VOCALS, gives_base=True), verdict=verdict)
    without = replace(job_of("job", VOCALS), verdict=verdict)
    assert takes_of(with_base) == takes_of(without) == [[("Under your marks", "job")]]


def test_version_that_went_on_names_the_one_it_came_from():
    first, second = job_of("first", VOCALS), job_of("second", VOCALS, DRUMS)
    options = replace(second.options, start_from="first", preview_end_frame=44100)
    versions = versions_json(song_versions([replace(second, options=options), first]))
    assert [version["started_from"] for version in versions] == [1, None]
    assert versions[0]["options_changed"] == []


def test_take_without_marks_belongs_to_all_versions_of_its_model():
    plain = job_of("plain", strategy="B0")
    second = job_of("second", VOCALS)
    other = job_of("other", VOCALS, model="starter")
    assert takes_of(other, second, plain) == [
        [("Adapted", "other")],
        [("Without marks", "plain"), ("Adapted", "second")],
        [("Without marks", "plain")],
    ]


def test_what_is_not_there_is_no_take_and_what_failed_no_version():
    running = job_of("running", VOCALS, state=JobState.RUNNING)
    base = job_of("base", VOCALS, strategy="B0")
    failed = job_of("failed", DRUMS, state=JobState.FAILED)
    assert takes_of(failed, running, base) == [[("Under your marks", "base")]]
    assert takes_of(job_of("again", VOCALS, state=JobState.CANCELLED), base) == [
        [("Under your marks", "base")]
    ]


def test_versions_are_numbered_and_say_what_changed():
    first, second = job_of("first", VOCALS), job_of("second", VOCALS, DRUMS)
    base = job_of("base", VOCALS, DRUMS, strategy="B0")
    versions = [found.version for found in song_versions([second, base, first])]
    assert [version.number for version in versions] == [2, 1]
    assert versions[0].marks_changed == (
        "+ drums silent 0:00.0-735:00.0",
    )  # without its rate, frames are seconds
    assert versions[0].options_changed == ()
