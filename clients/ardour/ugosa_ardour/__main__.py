"""`ugosa-ardour`, run by the Lua scripts: one event a line on stdout, fields parted by tabs.

Lines are `pid 123`, `note text`, `progress 0.25 text`, `stem vocals /path/vocals.wav`, `region vocals 4711`,
`error text`, and `done` at the end. The same stands in words on stderr. SIGTERM and Ctrl-C take what is
learned so far; the next one cancels the job.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ugosa_ardour.request import marks_of, read_request, write_song
from ugosa_ardour.session_file import add_stems
from ugosa_client import JobOptions, Notice, Progress, SeparationRequest, UgosaClient
from ugosa_client.cli.interrupts import Interrupts
from ugosa_client.cli.job_options import add_job_options, job_options
from ugosa_client.cli.private_server import ensure_server
from ugosa_client.cli.reporter import LinesReporter
from ugosa_client.errors import BadInputError, UgosaClientError, sentence_of
from ugosa_client.events import JobEvent
from ugosa_client.separate import find_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="ugosa-ardour", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    separate = commands.add_parser("separate", help="separate the region that a request file describes")
    separate.add_argument("request", type=Path)
    separate.add_argument("-o", "--out", type=Path, required=True, help="folder for the stems")
    separate.add_argument("--server", help="unix:/path/to/ugosa.sock or host:port (default: $UGOSA_SERVER)")
    add_job_options(separate)
    add = commands.add_parser("add", help="list stems in a session file that no Ardour has open")
    add.add_argument("session_file", type=Path)
    add.add_argument("region_id")
    add.add_argument("stems", type=Path, nargs="+")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    say("pid", os.getpid())
    try:
        if arguments.command == "separate":
            run_separate(arguments.request, arguments.out, arguments.server, job_options(arguments))
        else:
            stems = {path.stem: path for path in arguments.stems}
            for source, region_id in add_stems(arguments.session_file, arguments.region_id, stems).items():
                say("region", source, region_id)
    except (UgosaClientError, OSError) as error:
        say("error", sentence_of(error) if isinstance(error, OSError) else error)
        return 1
    except KeyboardInterrupt:
        say("error", "interrupted; the session is as it was")
        return 1
    say("done")
    return 0


def run_separate(request_path: Path, out_dir: Path, server: str | None, options: JobOptions) -> None:
    """Cut the region out of its files, separate it under the range markers, and fetch the stems."""
    request, reporter = read_request(request_path), LuaReporter()
    ensure_server(server, reporter.say)
    with UgosaClient(server) as client:
        sources = find_model(client.models(), options.model).sources
        marks, left_out = marks_of(request.ranges, sources)
        if not marks:
            why = (
                f"no range marker over the region {request.region!r} names an instrument; draw ranges over "
                "the time in which one is silent, and name them for example 'no vocals'"
            )
            raise BadInputError("; ".join([why, *left_out]))
        for sentence in left_out:
            reporter.note(sentence)
        out_dir.mkdir(parents=True, exist_ok=True)
        song = out_dir / "song.wav"
        write_song(request, song)
        job = client.submit(SeparationRequest(song, marks=marks, options=options), out_dir=out_dir)
        with Interrupts(client, job, reporter, (signal.SIGINT, signal.SIGTERM)) as interrupts:
            separation = client.finish(job, out_dir, on_event=interrupts.happened)
    if separation.job.verdict is not None:
        reporter.note(separation.job.verdict.message)
    for source, path in separation.files.stems.items():
        say("stem", source, path.resolve())


class LuaReporter(LinesReporter):
    """Lines for the scripts on stdout, beside those for people on stderr."""

    def happened(self, event: JobEvent) -> None:
        """Print an event for both; of notices, scripts are told the warnings."""
        super().happened(event)
        if isinstance(event, Progress):
            say("progress", f"{event.fraction:.4f}", event.phase.replace("_", " "))
        elif isinstance(event, Notice) and event.warning:
            say("note", event.message)

    def note(self, text: str) -> None:
        """Print a text for both."""
        self.say(text)
        say("note", text)


def say(*fields: object) -> None:
    """Write one line that Lua splits at the tabs."""
    print("\t".join(re.sub(r"[\t\r\n]+", " ", str(field)) for field in fields), flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
