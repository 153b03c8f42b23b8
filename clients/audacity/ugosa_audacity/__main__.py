"""`ugosa-audacity`: separate the selected track under its labels, or check and suggest them."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from ugosa_audacity.labels import (
    FINDINGS_TRACK,
    SUGGESTIONS_TRACK,
    accept_suggestions,
    examine_labels,
    finding_labels,
    region_labels,
    require_marks,
    suggestion_labels,
    write_label_track,
)
from ugosa_audacity.pipe import AudacityPipe
from ugosa_audacity.project import Track, export_track, insert_stems, select_track, selected_track
from ugosa_client import JobOptions, SeparationRequest, UgosaClient
from ugosa_client.cli.exit_codes import EXIT_CODES_HELP, ExitCode, exit_code
from ugosa_client.cli.interrupts import Interrupts
from ugosa_client.cli.job_options import add_job_options, job_options
from ugosa_client.cli.marks import await_analysis, finding_text
from ugosa_client.cli.private_server import ensure_server
from ugosa_client.cli.reporter import Reporter, make_reporter
from ugosa_client.errors import BadInputError, UgosaClientError
from ugosa_client.marks.findings import Severity
from ugosa_client.resources import Model
from ugosa_client.separate import find_model

CHECK_RATE_HZ = 100_000  # of the check before the export; finer than the times that Audacity tells

ACTIONS = {
    "separate": "stems as new tracks",
    "lint": "what is wrong or doubtful with the labels, as labels of a track of their own",
    "suggest": "labels that the model proposes; they count once their question mark is gone",
    "accept": "takes the question mark off all suggestions",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="ugosa-audacity",
        description=__doc__,
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=list(ACTIONS),
        default="separate",
        metavar="ACTION",
        help="; ".join(f"{name}: {text}" for name, text in ACTIONS.items()) + " (default: separate)",
    )
    parser.add_argument("--server", help="unix:/path/to/ugosa.sock or host:port (default: $UGOSA_SERVER)")
    add_job_options(parser)
    arguments = parser.parse_args(argv)
    reporter = make_reporter(False)
    try:
        return int(run(arguments, reporter))
    except UgosaClientError as error:
        reporter.close()
        print(f"ugosa-audacity: {error}", file=sys.stderr)
        return int(exit_code(error))
    except KeyboardInterrupt:
        reporter.close()
        print("ugosa-audacity: interrupted; the project is as it was", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    finally:
        reporter.close()


def run(arguments: argparse.Namespace, reporter: Reporter) -> ExitCode:
    """Do what `arguments.action` says in the open project."""
    if arguments.action == "accept":
        with AudacityPipe() as audacity:
            count = accept_suggestions(audacity)
        if not count:
            raise BadInputError("there are no suggestions; `ugosa-audacity suggest` makes some")
        print(f"suggestions that are marks now: {count}")
        return ExitCode.OK
    with (
        AudacityPipe() as audacity,
        UgosaClient(arguments.server) as client,
        tempfile.TemporaryDirectory(prefix="ugosa-") as folder,
    ):
        ensure_server(arguments.server, reporter.say)
        options = job_options(arguments)
        work = Work(client, audacity, Path(folder), find_model(client.models(), options.model), reporter)
        match arguments.action:
            case "suggest":
                return work.suggest()
            case "lint":
                return work.lint()
            case _:
                return work.separate(options)


@dataclass(frozen=True)
class Work:
    """One run of the command."""

    client: UgosaClient
    """Client of the server."""
    audacity: AudacityPipe
    """The program with the open project."""
    folder: Path
    """Temporary folder for files."""
    model: Model
    """The network."""
    reporter: Reporter
    """Display of progress."""

    def separate(self, options: JobOptions) -> ExitCode:
        """Export the track, have it separated, and import the stems; Ctrl-C takes what is learned so far."""
        track, labels = selected_track(self.audacity), region_labels(self.audacity)
        check_frames = math.ceil(track.end_s * CHECK_RATE_HZ)
        _, findings = examine_labels(labels, self.model.sources, CHECK_RATE_HZ, check_frames)
        require_marks(findings, CHECK_RATE_HZ)  # before the export, which can take long
        song, rate, frames = self._export(track)
        marks, findings = examine_labels(labels, self.model.sources, rate, frames)
        require_marks(findings, rate)
        for finding in findings:
            self.reporter.say(finding.text)
        job = self.client.submit(SeparationRequest(song, marks=marks, options=options))
        with Interrupts(self.client, job, self.reporter) as interrupts:
            separation = self.client.finish(job, self.folder / "stems", on_event=interrupts.happened)
        insert_stems(self.audacity, track, separation.files.stems)
        if separation.job.verdict is not None:
            self.reporter.say(separation.job.verdict.message)
        return ExitCode.OK

    def suggest(self) -> ExitCode:
        """Analyse the track, and write the model's suggestions as labels."""
        track = selected_track(self.audacity)
        song, rate, _ = self._export(track)
        upload = self.client.upload(song)
        await_analysis(self.client, upload, self.model.name, self.reporter)
        suggestions = self.client.suggest_marks(upload.upload_id, model=self.model.name)
        write_label_track(self.audacity, SUGGESTIONS_TRACK, suggestion_labels(suggestions, rate))
        select_track(self.audacity, track)
        self.reporter.close()
        print(
            f"suggestions: {len(suggestions)}; listen, move their ends, take the question mark off those "
            "that are right, or accept all that you leave with `ugosa-audacity accept`"
            if suggestions
            else "the model has nothing to propose; mark by ear"
        )
        return ExitCode.OK

    def lint(self) -> ExitCode:
        """Analyse the track, and write findings about its labels as labels."""
        track, labels = selected_track(self.audacity), region_labels(self.audacity)
        song, rate, frames = self._export(track)
        upload = self.client.upload(song)
        await_analysis(self.client, upload, self.model.name, self.reporter)
        marks, findings = examine_labels(labels, self.model.sources, rate, frames)
        findings += self.client.lint_marks(upload.upload_id, marks, model=self.model.name).findings
        write_label_track(self.audacity, FINDINGS_TRACK, finding_labels(findings, rate))
        select_track(self.audacity, track)
        self.reporter.close()
        for finding in findings:
            print(finding_text(finding, rate))
        if any(finding.severity is Severity.ERROR for finding in findings):
            return ExitCode.BAD_INPUT
        if not findings:
            print("nothing to find fault with")
        return ExitCode.OK

    def _export(self, track: Track) -> tuple[Path, int, int]:
        """Return the track as a file, with its rate in Hz and its length in frames."""
        song = self.folder / "song.wav"
        export_track(self.audacity, track, song)
        length = soundfile.info(song)
        return song, length.samplerate, length.frames


if __name__ == "__main__":
    sys.exit(main())
