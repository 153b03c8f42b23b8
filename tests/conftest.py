"""Settings of the whole test run, and the servers that tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.server import Server, StartServer
from ugosa_client import UgosaClient

# The networks of the tests are so small that threads cost more than they give. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A time limit on single examples tells of the machine, not of the code. `make fuzz` goes the long way.
settings.register_profile("quick", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "20000")))
settings.load_profile("quick")

# The models that a developer has pulled must not show in the tests.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="ugosa-tests-")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three models, all tiny: `tiny`, `cunet-tiny`, and `cunet-seeing` of players."""
    from tests.helpers.tiny_cunet import FILM, write_tiny_cunet
    from tests.helpers.tiny_model import write_tiny_model

    folder = tmp_path_factory.mktemp("the models")
    write_tiny_model(folder / "tiny.safetensors")
    write_tiny_cunet(folder / "cunet-tiny.safetensors", FILM)
    write_tiny_cunet(folder / "cunet-seeing.safetensors", replace(FILM, context="frame"))
    return folder


@pytest.fixture(scope="session")
def shared_server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve all tests of this process that leave a server as they found it, from a place with spaces."""
    with Server(tmp_path_factory.mktemp("the state"), model_dir) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def client(shared_server: Server) -> Iterator[UgosaClient]:
    """Connect to the shared server."""
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
