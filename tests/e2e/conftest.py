"""What tests share: a tiny model on disk, and real server processes that use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.server import Server, StartServer
from tests.helpers.tiny_model import write_tiny_model
from ugosa_client import UgosaClient


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model, `tiny`."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "tiny.safetensors")
    return folder


@pytest.fixture(scope="session")
def shared_server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    with Server(tmp_path_factory.mktemp("state"), model_dir) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def client(shared_server: Server) -> Iterator[UgosaClient]:
    """A client of the shared server."""
    with shared_server.client() as client:
        yield client


@pytest.fixture
def start_server(model_dir: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of one's own, to be killed, stopped and started again on the same state."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        server = Server(tmp_path / "state", model_dir, arguments)
        servers.append(server)
        server.wait_ready()
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.kill()
        server.__exit__(None, None, None)
