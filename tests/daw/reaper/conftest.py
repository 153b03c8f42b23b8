"""Fixtures of the REAPER scenes: a project folder, and an empty project in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daw.reaper.scene import LUAS, Scene
from tests.helpers.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Report the scenes as skipped where Lua is not installed."""
    if not LUAS:
        here = Path(__file__).parent
        for item in items:
            if item.path.is_relative_to(here):
                item.add_marker(
                    pytest.mark.skip(reason="Lua is not installed: apt-get install lua5.3 lua5.4")
                )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with blanks and letters of several scripts in its name."""
    path = tmp_path / "My Käse 音 project"
    path.mkdir()
    return path


@pytest.fixture
def scene(folder: Path, shared_server: Server) -> Scene:
    """An empty project, and the shared server."""
    return Scene(folder, shared_server.target)
