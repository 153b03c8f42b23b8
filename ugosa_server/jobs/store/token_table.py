"""The rows of tokens, which prove from elsewhere who a caller is.

A token is `ugosa_<id>_<secret>`. Only the sha256 of the secret is kept. That is enough here, where it would
not be for a password: the secret is 256 random bits, so there is nothing that a slow hash would have to
protect from guessing, and no two are equal, so there is nothing to salt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs.model import check_principal
from ugosa_server.jobs.store.clock_table import ClockTable
from ugosa_server.jobs.store.rows import Database

TOKEN_PATTERN = re.compile(r"ugosa_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SECRET_BYTES = 32
NO_SUCH_SECRET = hashlib.sha256(b"").hexdigest()  # what the secret of an unknown id is compared with


class Token(NamedTuple):
    """A token as it is kept."""

    token_id: str
    """The part that is no secret; names the token in `ugosa-server token list` and `revoke`."""
    principal: str
    """Principal that it proves."""
    create_time_s: float
    """Unix time."""
    expire_time_s: float | None
    """Unix time from which on it is worth nothing; None = never."""


class TokenTable:
    """Reads and writes tokens. Every method is one transaction, durable when it returns."""

    def __init__(self, database: Database, clock: ClockTable) -> None:
        self._db = database
        self._clock = clock

    def create(self, principal: str, lifetime_s: float | None) -> str:
        """Make a token and return it whole; this is the only time that its secret exists here."""
        check_principal(principal)
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES)
        now_s = self._clock.latest_s()  # which its end is compared with
        self._db.insert(
            "tokens",
            token_id=token_id,
            principal=principal,
            secret_sha256=_sha256(secret),
            create_time_s=now_s,
            expire_time_s=None if lifetime_s is None else now_s + lifetime_s,
        )
        return f"ugosa_{token_id}_{secret}"

    def principal_of(self, token: str) -> str | None:
        """Return the principal that a token proves; None for a malformed, unknown, revoked or expired one."""
        match = TOKEN_PATTERN.fullmatch(token)
        if match is None:
            return None
        token_id, secret = match.groups()
        row = self._db.row(
            tuple[str, str],
            "SELECT principal, secret_sha256 FROM tokens WHERE token_id = ?"
            " AND (expire_time_s IS NULL OR expire_time_s > ?)",
            (token_id, self._clock.latest_s()),
        )
        principal, expected = row if row is not None else (None, NO_SUCH_SECRET)
        return principal if hmac.compare_digest(expected, _sha256(secret)) else None

    def all(self) -> list[Token]:
        """Return all tokens, oldest first; expired ones too."""
        return self._db.rows(
            Token,
            "SELECT token_id, principal, create_time_s, expire_time_s FROM tokens ORDER BY create_time_s",
        )

    def any_valid(self) -> bool:
        """Return whether there is a token that has not expired."""
        now_s = self._clock.latest_s()
        return any(token.expire_time_s is None or token.expire_time_s > now_s for token in self.all())

    def revoke(self, token_id: str) -> str:
        """Remove a token and return its principal; a running server refuses it from its next call on.

        Raises:
            NotFoundError: there is none of that id.
        """
        row = self._db.row(
            tuple[str], "DELETE FROM tokens WHERE token_id = ? RETURNING principal", (token_id,)
        )
        if row is None:
            raise NotFoundError(f"no token {token_id!r}; `ugosa-server token list` shows them all")
        return row[0]


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
