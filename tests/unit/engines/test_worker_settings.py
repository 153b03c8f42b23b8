"""Every setting of a worker reaches the worker of every engine."""

from dataclasses import fields, replace

import pytest

from ugosa_server.config import (
    QuotaSettings,
    RetentionSettings,
    ServerConfig,
    UploadSettings,
    WorkerSettings,
)
from ugosa_server.engines.local import worker_command
from ugosa_server.engines.ray.engine import settings_of_actor
from ugosa_server.pipeline.__main__ import parse_arguments

# Read by the front process alone. A new setting belongs here, or in WorkerSettings, or is one of Ray's.
FRONT = {
    *("listen", "tls_cert", "tls_key", "tls_client_ca", "require_token_on_loopback", "osc", "osc_peers"),
    *("engine", "model", "model_dirs", "state_dir", "metrics", "min_free_bytes", "max_queued"),
    *("cancel_deadline_s", "drain_grace_s", "move_unknown", "exit_when_idle_s"),
    *(field.name for kind in (UploadSettings, QuotaSettings, RetentionSettings) for field in fields(kind)),
}
WORKER = {field.name for field in fields(WorkerSettings)}
PLACED_BY_RAY = {"device", "threads"}


def unlike(value):
    """A valid value that is not the default."""
    return {str: "json", bool: not value, int: 3, float: 3.5}[type(value)]


def changed(name):
    """A configuration with one setting unlike its default."""
    return replace(ServerConfig(), **{name: unlike(getattr(ServerConfig(), name))})


def test_every_setting_has_one_reader():
    names = {field.name for field in fields(ServerConfig)}
    rays = {name for name in names if name.startswith("ray_")}
    assert names == FRONT | WORKER | rays
    assert not FRONT & WORKER


@pytest.mark.parametrize("name", sorted(WORKER))
def test_worker_setting_reaches_the_local_worker(name):
    config = changed(name)
    arguments = parse_arguments(worker_command(config.worker, "/models/a b.safetensors")[3:])
    assert getattr(arguments.settings, name) == getattr(config, name) != getattr(ServerConfig(), name)
    assert arguments.settings == config.worker
    assert arguments.preload == "/models/a b.safetensors"


@pytest.mark.parametrize("name", sorted(WORKER - PLACED_BY_RAY))
def test_worker_setting_reaches_a_ray_actor(name):
    config = changed(name)
    settings = settings_of_actor(config, on_gpus=True)
    assert getattr(settings, name) == getattr(config, name) != getattr(ServerConfig(), name)


def test_ray_places_actors_on_one_gpu_or_cpu_slots():
    config = ServerConfig(device="auto", threads=3)
    assert settings_of_actor(config, on_gpus=True) == replace(config.worker, device="cuda")
    assert settings_of_actor(config, on_gpus=False) == replace(config.worker, device="cpu")
    assert settings_of_actor(ServerConfig(), on_gpus=False).threads == 1
