"""A model and the networks of a worker, as most tests of runs take them."""

import pytest

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.config import WorkerSettings
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.pipeline.resident import ResidentNetworks


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_network().state_dict(), TINY)
    return path


@pytest.fixture
def networks():
    return ResidentNetworks(WorkerSettings("cpu"))
