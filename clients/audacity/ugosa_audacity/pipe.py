"""Audacity's scripting pipe: one command a line, an answer that ends in an empty line.

The pipes are two FIFOs that mod-script-pipe makes. (Audacity manual, "Scripting".)
"""

from __future__ import annotations

import json
import os
import re
import select
import threading
import time
from pathlib import Path
from typing import Any

from ugosa_client.errors import UgosaClientError

PIPE_FOLDER = Path("/tmp")
ANSWER_TIMEOUT_S = 300.0
OPEN_TIMEOUT_S = 15.0
"""Audacity opens its pipes again a moment after one client has gone."""
REOPEN_INTERVAL_S = 0.1
BARE_BACKSLASH = re.compile(r'\\(?!")')
"""Audacity escapes quotes in its JSON, but no backslashes."""
ENABLE = (
    "start Audacity, set Edit > Preferences > Modules > mod-script-pipe to Enabled, "
    "start Audacity again, and run this command while it is open"
)


class AudacityError(UgosaClientError):
    """Audacity refuses a command; the message says why and the way out."""


class AudacityPipe:
    """A connection to the Audacity that this user runs."""

    def __init__(self) -> None:
        user = os.getuid()
        requests, answers = (
            PIPE_FOLDER / f"audacity_script_pipe.{direction}.{user}" for direction in ("to", "from")
        )
        self._requests, self._answers = _open(requests, answers)
        self._unread = b""

    def __enter__(self) -> AudacityPipe:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._requests)
        os.close(self._answers)

    def do(self, command: str, **parameters: str | float) -> str:
        """Run a command and return its answer without the status line.

        Raises:
            AudacityError: it failed, or Audacity does not answer.
        """
        words = [f"{command}:", *(f"{name}={_quoted(value)}" for name, value in parameters.items())]
        line = " ".join(words)
        os.write(self._requests, line.encode() + b"\n")
        lines: list[str] = []
        while not lines or lines[-1] or len(lines) == 1:
            lines.append(self._line(line))
        answer, status = "\n".join(lines[:-2]), lines[-2]
        if status != "BatchCommand finished: OK":
            raise AudacityError(f"Audacity refused {line!r}: {answer.strip() or status}")
        return answer

    def info(self, kind: str) -> Any:
        """Return Audacity's information on "Tracks" or "Labels"."""
        answer = self.do("GetInfo", Type=kind, Format="JSON")
        try:
            return json.loads(BARE_BACKSLASH.sub(r"\\\\", answer))
        except ValueError:
            raise AudacityError(
                "Audacity's list of tracks and labels cannot be read; does a name end in a backslash?"
            ) from None

    def preference(self, name: str) -> str | None:
        """Return a preference, or None if it was never set."""
        try:
            return self.do("GetPreference", Name=name).strip()
        except AudacityError:
            return None

    def _line(self, command: str) -> str:
        while b"\n" not in self._unread:
            if not select.select([self._answers], [], [], ANSWER_TIMEOUT_S)[0]:
                raise AudacityError(
                    f"Audacity has not answered {command!r} for {ANSWER_TIMEOUT_S:.0f} s; "
                    "is one of its dialogs open? Close it, and run this again"
                )
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise AudacityError(f"Audacity ended while it was asked {command!r}; start it again")
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()


def _open(requests: Path, answers: Path) -> tuple[int, int]:
    """Open both pipes, with a time limit: the other end of a crashed Audacity never opens."""
    opened: list[int] = []
    deadline_s = time.monotonic() + OPEN_TIMEOUT_S

    def open_both() -> None:
        for path, way in ((requests, os.O_WRONLY), (answers, os.O_RDONLY)):
            while time.monotonic() < deadline_s:
                try:
                    opened.append(os.open(path, way))
                    break
                except FileNotFoundError:  # Audacity is just making it anew
                    time.sleep(REOPEN_INTERVAL_S)

    if requests.exists() or answers.exists():
        thread = threading.Thread(target=open_both, daemon=True)
        thread.start()
        thread.join(OPEN_TIMEOUT_S)
    if len(opened) < 2:
        raise AudacityError(f"no Audacity listens at {requests}: {ENABLE}")
    return opened[0], opened[1]


def _quoted(value: str | float) -> str:
    """Write a value; in text, Audacity reads a backslash together with what follows it."""
    if not isinstance(value, str):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
