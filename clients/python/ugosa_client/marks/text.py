"""Bytes of marks files to text, text to lines and rows, and file names in one form."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator

# Control characters, ends of lines, halves of characters, and what is none.
UNWRITABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")  # str.splitlines() also cuts at eight other characters


def decode_text(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 that says so.

    Raises:
        ValueError: it is neither.
    """
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"it is not text in UTF-8 (byte {error.start} is {data[error.start]:#04x}); save it as UTF-8"
        ) from None


def decode_project(data: bytes) -> str:
    """Decode a project, in which plug-ins and old file names may leave bytes of Latin-1.

    Raises:
        ValueError: it says that it is UTF-16, and is not.
    """
    return data.decode(_encoding(data), errors=LATIN_1_ELSE)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without their ends, which are those of any system."""
    return [line.rstrip("\r\n") for line in lines_with_ends(text)]


def lines_with_ends(text: str) -> list[str]:
    """Return the lines of a text, which are the text again when they are joined."""
    return LINE.findall(text)


def first_line(text: str) -> str:
    """Return the first line that is not blank; empty if there is none."""
    return next((match[0] for match in LINE.finditer(text) if match[0].strip()), "").rstrip("\r\n")


def csv_rows(
    text: str, delimiter: str = ",", *, skip_spaces: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line a row ends on, and its cells; lines may end as on any system.

    Raises:
        ValueError: what follows is no CSV, for example a cell of more than 128 KiB.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=skip_spaces)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def one_line(name: str) -> str:
    """Return a name on one line: blanks are single, and nothing that no format can hold is left."""
    return " ".join(UNWRITABLE.sub(" ", name).split())


def one_form(name: str) -> str:
    """Return a file name as it is compared: in one Unicode normal form, without regard to case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _encoding(data: bytes) -> str:
    return "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError) or error.encoding.startswith("utf-16"):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


LATIN_1_ELSE = "ugosa_client.latin-1-else"
codecs.register_error(LATIN_1_ELSE, _as_latin_1)
