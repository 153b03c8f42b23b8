"""`ugosa marks`: convert marks between programs, check and suggest them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from ugosa_client.cli.exit_codes import ExitCode
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, MarksFileError, OutputExistsError, ServerError
from ugosa_client.jobs import require_success
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.file import read_regions, slips_text, write_regions
from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.marks.formats import FORMATS, MarksFormat, format_named
from ugosa_client.marks.reaper_project import regions_outside_song
from ugosa_client.marks.regions import Region, clock_texts, cut_at_end, named_regions
from ugosa_client.marks.suggestions import accept, regions_of_suggestions
from ugosa_client.resources import AudioInfo, JobState, Upload
from ugosa_client.separate import find_model, take_project
from ugosa_client.song import lossless_length

COVERAGE = {"NO_SILENCE", "THIN_COVERAGE"}
"""Findings on what all marks leave out, which say nothing where some marks could not be read."""


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers of this file."""
    marks = commands.add_parser("marks", help="convert, check and propose marks")
    actions = marks.add_subparsers(dest="action", required=True, metavar="ACTION")

    convert = actions.add_parser("convert", parents=[common], help="marks of one program to another's")
    convert.add_argument("marks", metavar="IN", help="marks of any known format, recognised by their content")
    convert.add_argument("out", metavar="OUT", help="the suffix chooses the format")
    _add_output(convert)
    convert.add_argument("--song", metavar="SONG", help="WAV, FLAC or AIFF, in place of --rate and --frames")
    convert.add_argument(
        "--rate", type=int, metavar="HZ", help="frames a second, for files that count frames"
    )
    convert.add_argument(
        "--frames", type=int, metavar="N", help="length of the song; later regions are refused"
    )
    convert.add_argument(
        "--accept",
        type=int,
        metavar="PERCENT",
        help="make marks of suggestions of that confidence or more, and leave out the others",
    )
    convert.set_defaults(run=run_convert, needs_server=False)

    lint = actions.add_parser("lint", parents=[common], help="find what is wrong or doubtful with marks")
    lint.add_argument("song", metavar="SONG", help="an audio file, or a REAPER project (.rpp)")
    lint.add_argument("--marks", metavar="FILE", help="marks of any known format; a project has its own")
    lint.add_argument("--model", metavar="NAME", help="separation network, see `ugosa models`")
    lint.add_argument("--listen", action="store_true", help="have the model analyse the song first")
    lint.set_defaults(run=run_lint)

    suggest = actions.add_parser("suggest", parents=[common], help="propose silent and active regions")
    suggest.add_argument("song", metavar="SONG", help="an audio file, or a REAPER project (.rpp)")
    suggest.add_argument("-o", "--out", required=True, metavar="FILE", help="the suffix chooses the format")
    _add_output(suggest)
    suggest.add_argument("--model", metavar="NAME", help="separation network, see `ugosa models`")
    suggest.set_defaults(run=run_suggest)


def _add_output(parser: argparse.ArgumentParser) -> None:
    names = [known.name for known in FORMATS]
    parser.add_argument("--format", choices=names, metavar="FORMAT", help="of the file: " + ", ".join(names))
    parser.add_argument(
        "--into", metavar="PROJECT", help="write a copy of this project with the regions added"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run_convert(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Read, check against the song if there is one, write."""
    rate, frames = arguments.rate, arguments.frames
    if arguments.song is not None:
        length = lossless_length(arguments.song)
        if length is None:
            raise BadInputError(
                f"{arguments.song} does not say its length for certain, as most WAV, FLAC and AIFF files do; "
                "give --rate and --frames"
            )
        rate, frames = rate or length.sample_rate_hz, frames or length.frames
    regions = list(named_regions(read_regions(Path(arguments.marks))))
    if arguments.accept is not None:
        regions = accept(regions, arguments.accept)
    if frames is not None:
        if rate is not None:
            regions = list(cut_at_end(regions, rate, frames))
        _refuse_outside(arguments.marks, regions, rate, frames)
    _refuse_existing(arguments)
    write_regions(arguments.out, regions, rate, _format(arguments), arguments.into)
    reporter.result(
        {"file": arguments.out, "regions": len(regions)}, f"regions in {arguments.out}: {len(regions)}"
    )


def run_lint(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> ExitCode | None:
    """Report all findings of the file and of the server; errors are bad input."""
    song, marks_file = take_project(arguments.song, arguments.marks or ())
    if not isinstance(marks_file, str | Path):
        raise BadInputError("there are no marks to check; name a file with --marks")
    path = Path(marks_file)
    regions = read_regions(path)
    model = find_model(client.models(), arguments.model)
    upload = client.upload(song, on_progress=reporter.uploaded)
    audio = _audio(upload)
    if arguments.listen:
        await_analysis(client, upload, model.name, reporter)
    marks, findings = examine_regions(regions, model.sources, audio.sample_rate_hz, audio.frames)
    findings += _outside_item(path)
    lint = client.lint_marks(upload.upload_id, marks, model=model.name)
    is_whole = all(finding.severity is not Severity.ERROR for finding in findings)
    of_song = [finding for finding in lint.findings if is_whole or finding.code not in COVERAGE]
    order = list(Severity)
    everything = sorted([*findings, *of_song], key=lambda finding: order.index(finding.severity))
    errors = sum(finding.severity is Severity.ERROR for finding in everything)
    values = {"findings": everything, "heard": lint.analysed, "audio": audio, "model": model.name}
    text = "\n".join(finding_text(finding, audio.sample_rate_hz) for finding in everything)
    if not lint.analysed:
        reporter.say("the model has not analysed this song; --listen also finds sound in marked silence")
    if errors:
        message = f"{path}: no job can be made of these marks ({errors} to mend)\n{text}"
        reporter.failed(ExitCode.BAD_INPUT, "BAD_MARKS", message, values)
        return ExitCode.BAD_INPUT
    reporter.result(values, text or f"{path}: nothing to find fault with")
    return None


def run_suggest(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Analyse the song, and write the model's suggestions."""
    _refuse_existing(arguments)
    song, _ = take_project(arguments.song, ())
    model = find_model(client.models(), arguments.model)
    upload = client.upload(song, on_progress=reporter.uploaded)
    await_analysis(client, upload, model.name, reporter)
    suggestions = client.suggest_marks(upload.upload_id, model=model.name)
    regions = regions_of_suggestions(suggestions)
    rate = _audio(upload).sample_rate_hz
    write_regions(arguments.out, regions, rate, _format(arguments), into=arguments.into)
    reporter.result(
        {"file": arguments.out, "suggestions": suggestions, "audio": upload.audio, "model": model.name},
        f"suggestions in {arguments.out}: {len(regions)}; listen, and take the question mark off those that "
        f"are right, or `ugosa marks convert {quote(str(arguments.out))} OUT --accept 90` those of 90 % "
        "and more",
    )


def await_analysis(client: UgosaClient, upload: Upload, model: str, reporter: Reporter) -> None:
    """Wait until a model has analysed a song; Ctrl-C cancels."""
    job = client.analyse(upload.upload_id, model=model)
    if job.state is JobState.SUCCEEDED:
        return
    reporter.job_made(job)
    try:
        for event in client.watch(job.job_id):
            reporter.happened(event)
    except KeyboardInterrupt:
        client.cancel(job.job_id)
        raise
    require_success(client.get_job(job.job_id))


def _refuse_outside(path: str, regions: Sequence[Region], rate: int | None, frames: int) -> None:
    errors = []
    for region in regions:
        if rate is None and not region.end.in_frames:
            raise BadInputError("--frames needs --rate to know how long the song is")
        end_frame = region.end.frame(rate or 1)
        if end_frame - frames > region.end.rounding_frames(rate or 1):
            if rate is None:
                end, song_end = f"frame {end_frame}", f"frame {frames}"
            else:
                end, song_end = clock_texts([end_frame, frames], rate)
            errors.append(
                f"{region.where}: region {region.name!r} ends at {end}, but the song ends at {song_end}; "
                "are these the marks of this song?"
            )
    if errors:
        raise MarksFileError(slips_text(path, errors))


def _outside_item(path: Path) -> list[Finding]:
    """Return a finding for each region of a REAPER project that lies outside the song."""
    if path.suffix.casefold() != ".rpp":
        return []
    return [
        Finding(
            "OUTSIDE_ITEM",
            Severity.INFO,
            f"the region {region.name!r} lies outside of the song's item and is left out",
            "move it over the item, if it is meant for the song",
            line=region.line,
            region=region.name,
        )
        for region in regions_outside_song(path.read_bytes())
    ]


def finding_text(finding: Finding, sample_rate_hz: int) -> str:
    """Write a finding for people: severity, place and message, and below them the fix."""
    place = f"{finding.where}: " if finding.line or finding.region else ""
    if not place and finding.start_frame is not None:
        (start,) = clock_texts([finding.start_frame], sample_rate_hz)
        place = f"{start}: "
    return f"{finding.severity} {finding.code}: {place}{finding.message}\n    {finding.fix}"


def _refuse_existing(arguments: argparse.Namespace) -> None:
    if Path(arguments.out).exists() and not arguments.overwrite:
        raise OutputExistsError(f"{arguments.out} is there already; --overwrite replaces it")


def _format(arguments: argparse.Namespace) -> MarksFormat | None:
    return None if arguments.format is None else format_named(arguments.format)


def _audio(upload: Upload) -> AudioInfo:
    if upload.audio is None:
        raise ServerError(f"the server sent no information on the audio of the upload {upload.upload_id}")
    return upload.audio
