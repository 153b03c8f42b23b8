"""Output of a command while it works: JSON lines, a live display, or plain lines.

Everything but JSON goes to stderr; stdout carries results.
"""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressDisplay

from ugosa_client.cli.exit_codes import ExitCode, exit_code
from ugosa_client.errors import JobCancelledError, JobFailedError, UgosaClientError, message_of
from ugosa_client.events import (
    EVENT_NAMES,
    BaseStemsReady,
    JobEvent,
    Notice,
    PreviewReady,
    Progress,
    StateChanged,
)
from ugosa_client.resources import Job


class Reporter(ABC):
    """Display of the events of one song; `for_song` gives one for each of several."""

    def uploaded(self, done_bytes: int, all_bytes: int) -> None:
        """Show how much of the song is durable on the server."""
        tenth = 10 * done_bytes // max(1, all_bytes)
        values = {"done_bytes": done_bytes, "all_bytes": all_bytes}
        self._show("upload", values, f"upload {tenth * 10} %", ("upload", tenth))

    def job_made(self, job: Job) -> None:
        """Show that the job exists."""
        place = f", place {job.queue_position} in the queue" if job.queue_position else ""
        self._show("job", {"job": job}, f"job {job.job_id} is {job.state}{place}")

    def happened(self, event: JobEvent) -> None:
        """Show an event of the job."""
        text, key = describe(event), None
        if isinstance(event, Progress):
            text = f"{event.fraction:4.0%} {text}{eta_text(event)}"
            key = ("progress", event.phase, event.epoch, int(event.fraction * 10))
        self._show(EVENT_NAMES[type(event)], asdict(event), text, key)

    def previewed(self, event: PreviewReady, files: Mapping[str, Path]) -> None:
        """Show a preview, which is on disk as a file for each source."""
        text = f"preview after step {event.step}: {', '.join(map(str, files.values()))}"
        self._show("preview", {**asdict(event), "files": files}, text)

    def fetched(self, file_name: str, done_bytes: int, all_bytes: int) -> None:
        """Show how much of a result is on disk."""
        values = {"file": file_name, "done_bytes": done_bytes, "all_bytes": all_bytes}
        text = f"fetched {file_name}" if done_bytes == all_bytes else ""
        self._show("fetch", values, text, ("fetch", file_name))

    def say(self, text: str) -> None:
        """Show a text for people."""
        self._show("message", {"message": text}, text)

    def close(self) -> None:  # noqa: B027 (most have nothing to leave)
        """Leave the terminal as it was."""

    @abstractmethod
    def for_song(self, name: str) -> Reporter:
        """Return a reporter for one of several songs."""

    @abstractmethod
    def result(self, values: Mapping[str, Any], text: str, closing: str = "") -> None:
        """Show the result: values for scripts, text and a closing line for people."""

    @abstractmethod
    def failed(self, code: ExitCode, reason: str, message: str, values: Mapping[str, Any]) -> None:
        """Show the error: code, reason and values for scripts, message for people."""

    @abstractmethod
    def _show(self, name: str, values: Mapping[str, Any], text: str, key: object = None) -> None:
        """Show values to scripts, or text to people, unless it is empty or has the key of the last one."""


class JsonReporter(Reporter):
    """JSON lines on stdout; the last one is the result."""

    def __init__(self, song: str | None = None) -> None:
        self._song = {} if song is None else {"song": song}

    def _show(self, name: str, values: Mapping[str, Any], text: str, key: object = None) -> None:
        line = json.dumps({"event": name, **self._song, **values}, default=to_json)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def for_song(self, name: str) -> Reporter:
        """Return a reporter whose objects say the song."""
        return JsonReporter(name)

    def result(self, values: Mapping[str, Any], text: str, closing: str = "") -> None:
        """Write the `result` object."""
        self._show("result", {"ok": True, "exit_code": 0, **values}, text)

    def failed(self, code: ExitCode, reason: str, message: str, values: Mapping[str, Any]) -> None:
        """Write the `result` object."""
        error = {"reason": reason, "message": message}
        self._show("result", {"ok": False, "exit_code": int(code), "error": error, **values}, message)


class LinesReporter(Reporter):
    """Plain lines on stderr: phases, epochs, tenths, whole files; only what is new enough to be worth one."""

    def __init__(self, song: str | None = None) -> None:
        self._prefix = "" if song is None else f"{song}: "
        self._last: object = None

    def _show(self, name: str, values: Mapping[str, Any], text: str, key: object = None) -> None:
        if text and (key is None or key != self._last):
            self._line(text)
            self._last = key

    def _line(self, text: str) -> None:
        print(self._prefix + text, file=sys.stderr, flush=True)

    def for_song(self, name: str) -> Reporter:
        """Return a reporter whose lines begin with the song."""
        return LinesReporter(name)

    def result(self, values: Mapping[str, Any], text: str, closing: str = "") -> None:
        """Print the text on stdout, and the closing line on stderr."""
        print(text, flush=True)
        if closing:
            print(self._prefix + closing, file=sys.stderr)

    def failed(self, code: ExitCode, reason: str, message: str, values: Mapping[str, Any]) -> None:
        """Print the message."""
        print(f"ugosa: {message}", file=sys.stderr)


class LiveReporter(LinesReporter):
    """A live bar per song on a terminal, with phase, epoch, loss and the server's own estimate."""

    def __init__(self, song: str | None = None, display: ProgressDisplay | None = None) -> None:
        super().__init__(song)
        self._display = display or live_display(Console(stderr=True))
        self._task = self._display.add_task(
            "", total=1.0, start=False, visible=False, song=escape(song or "")
        )

    def _move(self, text: str, fraction: float) -> None:
        self._display.start()
        self._display.update(self._task, completed=fraction, description=escape(text), visible=True)

    def _line(self, text: str) -> None:
        self._display.console.print(self._prefix + text, markup=False, highlight=False)

    def uploaded(self, done_bytes: int, all_bytes: int) -> None:
        """Move the bar."""
        self._move("upload", done_bytes / max(1, all_bytes))

    def happened(self, event: JobEvent) -> None:
        """Move the bar, or print a notice above it."""
        if isinstance(event, Progress):
            self._move(describe(event) + eta_text(event), event.fraction)
        elif isinstance(event, Notice | BaseStemsReady | PreviewReady):
            self._line(describe(event))
        else:
            self._move(describe(event), 1.0 if event.state.is_terminal else 0.0)

    def fetched(self, file_name: str, done_bytes: int, all_bytes: int) -> None:
        """Move the bar."""
        self._move(f"fetching {file_name}", done_bytes / max(1, all_bytes))

    def for_song(self, name: str) -> Reporter:
        """Return a reporter with a bar of its own in the same display."""
        return LiveReporter(name, self._display)

    def result(self, values: Mapping[str, Any], text: str, closing: str = "") -> None:
        """Print the text on stdout, below the bars."""
        self.close()
        super().result(values, text, closing)

    def failed(self, code: ExitCode, reason: str, message: str, values: Mapping[str, Any]) -> None:
        """Print the message below the bars."""
        self.close()
        super().failed(code, reason, message, values)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._display.stop()


def live_display(console: Console) -> ProgressDisplay:
    """Return the bars of LiveReporter, not yet shown."""
    return ProgressDisplay(
        TextColumn("{task.fields[song]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        console=console,
    )


def make_reporter(json_lines: bool) -> Reporter:
    """Return the reporter for JSON, a terminal, or neither."""
    if json_lines:
        return JsonReporter()
    return LiveReporter() if sys.stderr.isatty() else LinesReporter()


def report_error(error: UgosaClientError | OSError, reporter: Reporter) -> ExitCode:
    """Show an error, with the job that it is about, and return its exit status."""
    code, reason = exit_code(error), error.reason if isinstance(error, UgosaClientError) else ""
    values = {"job": error.job} if isinstance(error, JobFailedError | JobCancelledError) else {}
    reporter.failed(code, reason, message_of(error), values)
    return code


def describe(event: JobEvent) -> str:
    """Describe an event in words."""
    if isinstance(event, StateChanged):
        return str(event.state)  # why it failed is the command's last word
    if isinstance(event, Notice):
        return f"{'warning' if event.warning else 'note'}: {event.message}"
    if isinstance(event, BaseStemsReady):
        return "the stems of the model as it is are there; better ones may follow"
    if isinstance(event, PreviewReady):
        return f"a preview after step {event.step}, in epoch {event.epoch}, is there"
    text = event.phase.replace("_", " ")
    if event.epochs:
        text += f", epoch {event.epoch}/{event.epochs}"
    elif event.steps:
        text += f", {event.step}/{event.steps}"
    if event.loss is not None:
        text += f", loss {event.loss.total:.4g}"
    if event.held_back_db is not None:
        text += f", leakage {event.held_back_db:+.1f} dB"
    return text


def eta_text(event: Progress) -> str:
    """Write the server's estimate of the time left."""
    return "" if event.eta_s is None else f", {timedelta(seconds=round(event.eta_s))} left"


def to_json(value: Any) -> Any:
    """Return a value as types that json can write."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
