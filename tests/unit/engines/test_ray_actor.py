"""The actor as a plain object: its networks and its runs."""

import os

import pytest

from tests.helpers.run_specs import RunSpecs
from ugosa_server import __version__
from ugosa_server.config import ServerConfig
from ugosa_server.engines.base import WorkerReady, WorkerRefused
from ugosa_server.engines.ray.actor import WorkerActor
from ugosa_server.engines.ray.engine import settings_of_actor
from ugosa_server.engines.ray.files import NodeFolder
from ugosa_server.jobs.runs import RunSucceeded


@pytest.fixture
def specs(tmp_path):
    return RunSpecs(tmp_path)


@pytest.fixture
def make_actor(tmp_path, monkeypatch):
    """Make actors that leave the priority of the tests' own process as it is."""
    monkeypatch.setattr(os, "nice", lambda _: None)

    def make(version=__version__, **settings):
        config = ServerConfig(threads=1, **settings)
        files = NodeFolder(str(tmp_path / "node"), "worker-0", 2**20)
        return WorkerActor(settings_of_actor(config, on_gpus=False), files, version)

    return make


def test_actor_makes_its_networks_from_the_whole_settings(make_actor, specs):
    changes = {"gpu_tf32": True, "cpu_fallback": False, "prefix_cache_disk_bytes": 6}
    actor = make_actor(**changes)
    assert actor.prepare(str(specs.model_path)) == WorkerReady("cpu")
    assert actor.networks.settings == settings_of_actor(ServerConfig(threads=1, **changes), on_gpus=False)


def test_actor_of_another_version_is_refused(make_actor, specs):
    answer = make_actor(version="0.0.1").prepare(str(specs.model_path))
    assert isinstance(answer, WorkerRefused)
    assert f"0.0.1, but a node of the Ray cluster has {__version__}" in answer.message


def test_run_ignores_the_values_that_ray_sends(make_actor, specs):
    actor = make_actor()
    actor.prepare(str(specs.model_path))
    run = actor.run(specs.make("job", epochs=1), sent=False)
    event = next(run)
    while not isinstance(event, RunSucceeded):
        event = run.send("a value")
    with pytest.raises(StopIteration):
        next(run)
