"""Access to the gateway: one browser of this machine, by a key that opens the page once."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY_BYTES = 32
SAFE_METHODS = ("GET", "HEAD")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'nonce-{nonce}'",  # wavesurfer.js has a style element in its shadow tree
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Access:
    """ASGI middleware that lets one browser of this machine in, and no other page.

    A name that a foreign page has pointed at this machine (DNS rebinding) is refused by its Host, a foreign
    page by its Origin, and anyone else for want of the cookie. The key in the address is good for one cookie:
    neither a browser's history nor the list of processes lets anybody in later.
    """

    def __init__(self, app: ASGIApp, port: int, on_new_key: Callable[[str], None]) -> None:
        """Guard an app that is served on 127.0.0.1.

        Args:
            app: The gateway's routes.
            port: Where it is served.
            on_new_key: Called with a fresh address when one is opened that was used before.
        """
        self._app = app
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._cookie = f"ugosa-{port}"  # cookies are shared among all ports of a host
        self._session = secrets.token_urlsafe(KEY_BYTES)
        self._on_new_key = on_new_key
        self._key = secrets.token_urlsafe(KEY_BYTES)
        self._key_is_used = False

    @property
    def address(self) -> str:
        """The address that opens the page once."""
        return f"http://{self._hosts[0]}/?key={self._key}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # lifespan; a web socket finds no route
            return
        nonce = secrets.token_urlsafe(16)
        scope["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["content-security-policy"] = POLICY.format(nonce=nonce)
            await send(message)

        await (self._answer(scope) or self._app)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the refusal or the redirect of a request; None lets it in."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return PlainTextResponse(f"this is not {host!r}, but {self._hosts[0]}\n", 421)
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse(f"a page of {origin} may not call this one\n", 403)
        if origin is None and scope["method"] not in SAFE_METHODS:
            return PlainTextResponse("changes come from the page itself, with its Origin\n", 403)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("another page may not use this one\n", 403)
        if scope["path"] == "/" and (keys := parse_qs(scope["query_string"].decode("latin-1")).get("key")):
            return self._open(keys[0])
        session = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if not _equal(session, self._session):
            return PlainTextResponse("open the address that `ugosa web` has printed\n", 401)
        return None

    def _open(self, key: str) -> Response:
        if not _equal(key, self._key) or self._key_is_used:
            if self._key_is_used:  # at most one unused address at a time, however often this is called
                self._key, self._key_is_used = secrets.token_urlsafe(KEY_BYTES), False
                self._on_new_key(self.address)
            return PlainTextResponse(
                "this address was used before; open the newest that `ugosa web` has printed\n", 403
            )
        self._key_is_used = True
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
        return response


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
