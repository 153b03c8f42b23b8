"""Fixtures of the suites of real DAWs: a server with the tiny model, and installed commands."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.server import Server

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "clients" / "audacity"))


@pytest.fixture
def server(shared_server: Server) -> Server:
    """Return the shared server, by a short name."""
    return shared_server


@pytest.fixture
def make_command(tmp_path: Path) -> Callable[[str, Path], Path]:
    """Make an executable that runs a package of clients/ with this interpreter."""

    def make(module: str, folder: Path) -> Path:
        path = tmp_path / "a bin" / module
        path.parent.mkdir(exist_ok=True)
        python_path = os.pathsep.join(map(str, (folder, REPOSITORY / "clients" / "python")))
        command = shlex.join([sys.executable, "-m", module])
        path.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(python_path)} exec {command} "$@"\n')
        path.chmod(0o755)
        return path

    return make
