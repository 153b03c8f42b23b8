"""Insertion of elements into an XML document, which leaves every other byte as it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

BLANKS = b" \t"
TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")


def insert_children(document: bytes, path: Sequence[str], children: Sequence[str]) -> bytes:
    """Return the document with `children`, a line each, at the end of the element at `path`.

    Args:
        document: XML in UTF-8 or any other encoding in which ASCII is ASCII.
        path: Tags from the root to the element; the first such element is meant.
        children: Elements as text; letters beyond ASCII are written as character references.

    Raises:
        ValueError: it has no such element, or another encoding.
    """
    if document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("its XML is UTF-16; save it as UTF-8")
    start, place = _find(document, path)
    texts = [child.encode("ascii", "xmlcharrefreplace") for child in children]
    if document[: _tag_end(document, start)].endswith(b"/>"):
        tag = path[-1].encode()
        return document[: place - 2] + b">" + b"".join(texts) + b"</" + tag + b">" + document[place:]
    line = len(document[:place].rstrip(BLANKS))
    if document[line - 1 : line] not in (b"\n", b"\r"):
        return document[:place] + b"".join(texts) + document[place:]
    indent = document[line:place]
    indent += indent[-1:] if indent.endswith(b"\t") else b"  "
    end = b"\r\n" if document[line - 2 : line] == b"\r\n" else document[line - 1 : line]
    return document[:line] + b"".join(indent + text + end for text in texts) + document[line:]


def start_tag(document: bytes, root: str) -> tuple[int, int]:
    """Return the first byte of the root's start tag and the one past its last."""
    start, _ = _find(document, [root])
    return start, _tag_end(document, start)


def element(tag: str, attributes: dict[str, str], children: str = "") -> str:
    """Write an element; blanks within values are single spaces."""
    values = "".join(f" {key}={quoteattr(' '.join(value.split()))}" for key, value in attributes.items())
    return f"<{tag}{values}>{children}</{tag}>" if children else f"<{tag}{values}/>"


def _find(document: bytes, path: Sequence[str]) -> tuple[int, int]:
    """Return where the start and the end tag of the first element at `path` begin.

    The end tag of an empty element, `<a/>`, begins past the start tag.

    Raises:
        ValueError: there is no such element.
    """
    open_tags: list[str] = []
    places: list[int] = []
    parser = expat.ParserCreate()

    def started(tag: str, _: dict[str, str]) -> None:
        open_tags.append(tag)
        if open_tags == list(path) and not places:
            places.append(parser.CurrentByteIndex)

    def ended(_: str) -> None:
        if open_tags == list(path) and len(places) == 1:
            places.append(parser.CurrentByteIndex)
        open_tags.pop()

    parser.StartElementHandler, parser.EndElementHandler = started, ended
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not XML that can be read: {error}") from None
    if not places:
        raise ValueError(f"it has no <{path[-1]}>")
    return places[0], places[1]


def _tag_end(document: bytes, start: int) -> int:
    """Return the position past the tag that begins at `start`; a > in quotes does not end it."""
    match = TAG.match(document, start)
    if match is None:
        raise ValueError("its XML has a tag without an end")  # a parser would not have taken it
    return match.end()
