"""The server that tests of commands speak to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.breaking_server import BreakingServer, breaking_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingServer]:
    """Serve on a Unix socket that commands find by their environment."""
    with breaking_server(tmp_path) as (server, client):
        monkeypatch.setenv("UGOSA_SERVER", client.target)
        yield server
