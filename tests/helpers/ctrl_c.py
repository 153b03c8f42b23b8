"""Commands that heed Ctrl-C wherever the tests run: what a shell starts in the background ignores SIGINT."""

from __future__ import annotations

import sys
from collections.abc import Sequence

HEED_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def heeding_ctrl_c(command: Sequence[object]) -> list[str]:
    """Return a command that runs another one with SIGINT as a terminal gives it."""
    return [sys.executable, "-c", HEED_CTRL_C, *map(str, command)]
