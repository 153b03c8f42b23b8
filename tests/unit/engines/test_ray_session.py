"""The connection to a Ray cluster, on a cluster that is not there: only Ray's own calls are left out."""

from importlib.util import find_spec

import pytest

from ugosa_server.config import ServerConfig

pytestmark = [
    pytest.mark.asyncio,
    # Ray reads its settings when it is imported: the session does so, when it has made them.
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]


async def test_a_later_connection_writes_no_other_probe(tmp_path, monkeypatch):
    from ugosa_server.engines.ray.session import RaySession

    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")  # which puts back afterwards what the session sets
    session = RaySession(ServerConfig(ray_address="10.0.0.1:6379"), tmp_path)
    for name in ("init", "shutdown"):
        monkeypatch.setattr(session.ray, name, lambda **_: None)
    monkeypatch.setattr(session.ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert await session.connect() == {"CPU": 2.0}
    (probe,) = tmp_path.glob("ray-probe-*")
    content = probe.read_text()
    await session.connect()
    assert probe.read_text() == content
    await session.close()
    assert not probe.exists()
