"""Pages of lists: their size, and the tokens that say where the next one starts."""

from __future__ import annotations

from ugosa_server.errors import BadOptionError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


def checked_page_size(page_size: int) -> int:
    """Return the number of items of a page; 0 of a client = the default.

    Raises:
        BadOptionError: it is negative or too large.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise BadOptionError(f"page_size is {page_size}, but must be at most {MAX_PAGE_SIZE}")
    return page_size or DEFAULT_PAGE_SIZE


def token_of_place(place: tuple[float, str] | None) -> str:
    """Return the token of a time and an id; empty on the last page."""
    return "" if place is None else f"{place[0]!r} {place[1]}"


def place_of_token(token: str) -> tuple[float, str] | None:
    """Return the time and the id of a token; None for the first page.

    Raises:
        BadOptionError: it is not one that a list gave.
    """
    if not token:
        return None
    time_text, _, item_id = token.partition(" ")
    try:
        return float(time_text), item_id
    except ValueError:
        raise BadOptionError(f"page_token {token!r} is not one that a list gave") from None
