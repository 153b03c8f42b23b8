"""`ugosa-audacity`: separate the selected track of the open Audacity project under its labels."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile

from ugosa_audacity.pipe import AudacityPipe
from ugosa_audacity.project import export_track, insert_stems, marks_of, region_labels, selected_track
from ugosa_client import JobOptions, UgosaClient
from ugosa_client.cli.exit_codes import EXIT_CODES_HELP, ExitCode, exit_code
from ugosa_client.cli.job_options import add_job_options, job_options
from ugosa_client.cli.reporter import make_reporter
from ugosa_client.errors import UgosaClientError
from ugosa_client.separate import find_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="ugosa-audacity",
        description=__doc__,
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", help="unix:/path/to/ugosa.sock or host:port (default: $UGOSA_SERVER)")
    add_job_options(parser)
    arguments = parser.parse_args(argv)
    try:
        separate_selected(arguments.server, job_options(arguments))
    except UgosaClientError as error:
        print(f"ugosa-audacity: {error}", file=sys.stderr)
        return int(exit_code(error))
    except KeyboardInterrupt:
        print("ugosa-audacity: cancelled; the project is as it was", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    return 0


def separate_selected(server: str | None, options: JobOptions) -> None:
    """Export the track, have it separated, and import the stems; Ctrl-C cancels the job."""
    reporter = make_reporter(False)
    with (
        UgosaClient(server) as client,
        AudacityPipe() as audacity,
        tempfile.TemporaryDirectory(prefix="ugosa-") as folder,
    ):
        sources = find_model(client.models(), options.model).sources
        track, labels = selected_track(audacity), region_labels(audacity)
        song = Path(folder) / "song.wav"
        marks_of(labels, sources, 1, 1)  # names are checked before the export, which can take long
        export_track(audacity, track, song)
        length = soundfile.info(song)
        marks = marks_of(labels, sources, length.samplerate, length.frames)
        job = client.submit(song, marks=marks, options=options)
        try:
            separation = client.finish(job, Path(folder) / "stems", on_event=reporter.happened)
        except KeyboardInterrupt:
            client.cancel(job.job_id)
            raise
        finally:
            reporter.close()
        insert_stems(audacity, track, separation.files.stems)


if __name__ == "__main__":
    sys.exit(main())
