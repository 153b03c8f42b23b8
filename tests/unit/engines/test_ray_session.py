"""The connection to a Ray cluster, on a cluster that is not there: only Ray's own calls are left out."""

import pytest

from ugosa_server.config import ServerConfig

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.asyncio


async def test_a_later_connection_writes_no_other_probe(tmp_path, monkeypatch):
    from ugosa_server.engines.ray.session import RaySession

    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")  # which puts back afterwards what the session sets
    for name in ("init", "shutdown"):
        monkeypatch.setattr(ray, name, lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    session = RaySession(ServerConfig(ray_address="10.0.0.1:6379"), tmp_path)
    assert await session.connect() == {"CPU": 2.0}
    (probe,) = tmp_path.glob("ray-probe-*")
    content = probe.read_text()
    await session.connect()
    assert probe.read_text() == content
    await session.close()
    assert not probe.exists()
