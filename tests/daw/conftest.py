"""Fixtures of the suites of real DAWs: a server with the tiny model, and installed commands."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.server import Server
from tests.helpers.tiny_model import write_tiny_model

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "clients" / "audacity"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_model(models / "tiny.safetensors")
    with Server(tmp_path_factory.mktemp("state"), models) as server:
        server.wait_ready()
        yield server


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
