"""Named places at which a test can kill the process, to prove that nothing acknowledged is lost.

`UGOSA_FAILPOINT=NAME:COUNT:FILE` sends SIGKILL, or the signal whose number FILE holds, to the process that
reaches NAME for the COUNT-th time, if it can take FILE away: so one fault happens once, however many
processes the server starts. Several faults are separated by commas. Unset, `reach` does nothing.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

_reached: Counter[str] = Counter()
_armed = [fault.split(":", 2) for fault in os.environ.get("UGOSA_FAILPOINT", "").split(",") if fault]


def reach(name: str) -> None:
    """Mark a place; the process is killed or stopped here if the environment asks for it."""
    if not _armed:
        return
    _reached[name] += 1
    for armed_name, count, token in _armed:
        if name == armed_name and _reached[name] == int(count):
            try:
                number = Path(token).read_text(encoding="ascii")
                Path(token).unlink()
            except FileNotFoundError:
                continue  # another process has had this fault
            os.kill(os.getpid(), int(number or signal.SIGKILL))
