"""Refusals of the gateway: the page belongs to one browser of this machine."""

from __future__ import annotations

import pytest

from tests.web.conftest import PORT, Page

HERE = f"http://127.0.0.1:{PORT}"


@pytest.mark.asyncio
async def test_page_opens_with_its_key_and_a_strict_cookie(page: Page) -> None:
    cookie = page.http.cookies.get(f"ugosa-{PORT}")
    assert cookie
    assert cookie != page.key
    answer = await page.http.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asyncio
async def test_key_works_once_and_a_new_one_is_printed(page: Page) -> None:
    again = await page.stranger.get("/", params={"key": page.key})
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    (address,) = page.new_addresses
    wrong = await page.stranger.get("/", params={"key": page.key})  # no further address: one is unused
    assert wrong.status_code == 403
    assert page.new_addresses == [address]
    opened = await page.stranger.get(address.removeprefix(HERE))
    assert opened.status_code == 303
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await page.stranger.get("/")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/songs", "/api/models", "/static/page.js"])
@pytest.mark.asyncio
async def test_without_the_cookie_nothing_is_given(page: Page, path: str) -> None:
    assert (await page.stranger.get(path)).status_code == 401
    page.stranger.cookies.set(f"ugosa-{PORT}", "guess")
    assert (await page.stranger.get(path)).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""]
)
@pytest.mark.asyncio
async def test_rebound_host_is_refused_even_with_the_cookie(page: Page, host: str) -> None:
    answer = await page.http.get("/api/songs", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}"]
)
@pytest.mark.asyncio
async def test_foreign_origin_is_refused_even_with_the_cookie(page: Page, origin: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = await page.http.request(method, "/api/songs", headers={"origin": origin})
        assert answer.status_code == 403


@pytest.mark.asyncio
async def test_change_without_an_origin_is_refused(page: Page) -> None:
    page.stranger.cookies = page.http.cookies
    assert (await page.stranger.get("/api/songs")).status_code == 200
    assert (await page.stranger.put("/api/songs", content=b"x")).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.asyncio
async def test_use_by_another_site_is_refused(page: Page, site: str) -> None:
    answer = await page.http.get("/api/songs", headers={"sec-fetch-site": site})
    assert answer.status_code == 403
