"""The gateway of the page over a real server with the tiny model."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song
from ugosa_client import UgosaClient

httpx = pytest.importorskip("httpx2")
pytest.importorskip("starlette")

PORT = 50999  # of the Host header alone: nothing listens


@dataclass
class Page:
    """The gateway as a browser that holds the cookie sees it, without a socket."""

    http: httpx.AsyncClient
    client: UgosaClient
    stranger: httpx.AsyncClient
    """A browser without the cookie."""
    key: str
    new_addresses: list[str] = field(default_factory=list)


@pytest_asyncio.fixture
async def page(shared_server: Server, tmp_path: Path) -> AsyncIterator[Page]:
    """Open the page with its key."""
    from ugosa_client.web.access import Access
    from ugosa_client.web.gateway import Gateway
    from ugosa_client.web.songs import Songs

    addresses: list[str] = []
    with shared_server.client() as client:
        app = Access(
            Gateway(client, Songs(client, tmp_path / "notes"), tmp_path).app(), PORT, addresses.append
        )
        base = f"http://127.0.0.1:{PORT}"
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url=base, headers={"origin": base}) as http,
            httpx.AsyncClient(transport=transport, base_url=base) as stranger,
        ):
            key = re.sub(".*key=", "", app.address)
            assert (await http.get("/", params={"key": key})).status_code == 303
            yield Page(http, client, stranger, key, addresses)


@pytest.fixture
def song_path(tmp_path: Path) -> Path:
    """Write three seconds of song."""
    return write_song(make_song(3 * 44100), tmp_path / "my song é.wav")
