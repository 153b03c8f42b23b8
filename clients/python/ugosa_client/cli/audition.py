"""Previews of a job that learns, as files to listen to: `ugosa separate --audition DIR`."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ugosa_client.cli.job_options import seconds
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, NotFoundError, OutputError, reason_of
from ugosa_client.events import JobEvent, PreviewReady, StateChanged
from ugosa_client.resources import JobState
from ugosa_client.stem_files import StemFiles

KEPT = 10  # newest previews
WHY_NONE = {
    JobState.SUCCEEDED: "there was too little to learn",
    JobState.FAILED: "the job failed before the first one",
    JobState.CANCELLED: "the job was cancelled before the first one",
}
"""Reason that a job had no preview, by its last state."""


def add_audition(parser: argparse.ArgumentParser) -> None:
    """Add the folder and the stretch of previews."""
    group = parser.add_argument_group("previews while the job learns")
    group.add_argument(
        "--audition",
        metavar="DIR",
        help=f"write preview-0001-vocals.flac ... there every few seconds of learning, the newest {KEPT}",
    )
    group.add_argument(
        "--audition-span", type=_span, metavar="1:00-1:10", help="stretch of the song for it, at most 15 s"
    )


def audition_span(arguments: argparse.Namespace) -> tuple[float, float] | None:
    """Return the stretch of parsed arguments in seconds; None = no previews.

    Raises:
        BadInputError: the arguments do not go together.
    """
    if (arguments.audition is None) != (arguments.audition_span is None):
        raise BadInputError("previews take both --audition DIR and --audition-span 1:00-1:10")
    if arguments.audition is not None and arguments.detach:
        raise BadInputError("--audition waits for the job; leave out --detach")
    if arguments.audition is not None and (arguments.start or arguments.end):
        raise BadInputError("--audition-span is of the whole song; leave out --from and --to")
    span: tuple[float, float] | None = arguments.audition_span
    return span


class Audition:
    """Folder of the newest previews of a job."""

    def __init__(
        self,
        client: UgosaClient,
        folder: str | Path,
        reporter: Reporter,
        on_event: Callable[[JobEvent], None],
    ) -> None:
        self._client, self._folder, self._reporter = client, Path(folder), reporter
        self._on_event = on_event
        self._written: deque[list[Path]] = deque()
        numbers = (path.name.split("-")[1] for path in self._folder.glob("preview-*-*.flac"))
        self._number = max((int(number) for number in numbers if number.isdecimal()), default=0)

    def happened(self, event: JobEvent) -> None:
        """Write the files of a preview that is there; pass other events on.

        Raises:
            OutputError: the folder cannot be written.
        """
        if not isinstance(event, PreviewReady):
            self._on_event(event)
            if isinstance(event, StateChanged) and event.state.is_terminal and not self._written:
                self._reporter.say(f"no preview came into {self._folder}: {WHY_NONE[event.state]}")
            return
        try:
            files = {
                source: self._client.read_preview(event.job_id, source, event.step)
                for source in event.sources
            }
        except NotFoundError:  # the job has ended meanwhile, or newer ones have come
            return
        self._number += 1
        names = StemFiles(f"preview-{self._number:04d}-{{stem}}").names("", list(files), ".flac")
        paths = {source: self._folder / name for source, name in zip(files, names, strict=True)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for source, data in files.items():
                paths[source].write_bytes(data)
        except OSError as error:
            raise OutputError(f"cannot write to {self._folder}: {reason_of(error)}") from error
        self._written.append(list(paths.values()))
        if len(self._written) > KEPT:
            for path in self._written.popleft():
                with suppress(OSError):  # a program that plays it may hold it
                    path.unlink()
        self._reporter.previewed(event, paths)


def _span(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    if not dash:
        raise argparse.ArgumentTypeError(f"{text!r} is no stretch such as 1:00-1:10")
    return seconds(start), seconds(end)
