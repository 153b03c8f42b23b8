"""Syntax of REAPER's project files: nested blocks of lines of tokens in quotes of 3 kinds.

<ITEM
  POSITION 1.5
  NAME "my song"
  <SOURCE WAVE
    FILE "my song.wav"
  >
>
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ugosa_client.marks.text import lines_of

QUOTES = "\"'`"
LINE_END = "\r\n"  # REAPER writes it on every system


@dataclass(frozen=True)
class Line:
    """One line that is not a block."""

    tokens: list[str]
    number: int

    @property
    def key(self) -> str:
        """The first token."""
        return self.tokens[0] if self.tokens else ""


@dataclass
class Block:
    """A block with all that is in it, in order."""

    key: str
    """For example "ITEM"."""
    arguments: list[str]
    number: int
    """Line of the key, from 1."""
    children: list[Line | Block] = field(default_factory=list)
    end: int = 0
    """Line of the `>` that closes it, from 1."""

    def blocks(self, key: str) -> Iterator[Block]:
        """Yield the blocks of that key directly in this one."""
        return (child for child in self.children if isinstance(child, Block) and child.key == key)

    def lines(self, key: str) -> Iterator[Line]:
        """Yield the lines of that key directly in this one."""
        return (child for child in self.children if isinstance(child, Line) and child.key == key)

    def value(self, key: str, default: str, place: int = 1) -> str:
        """Return the argument at that place, from 1, of the first line of that key."""
        line = next(self.lines(key), None)
        return line.tokens[place] if line is not None and len(line.tokens) > place else default


def parse_rpp(text: str) -> Block:
    """Read a project.

    Raises:
        ValueError: the blocks do not nest; the message begins with a line number.
    """
    open_blocks: list[Block] = []
    for number, raw in enumerate(lines_of(text), start=1):
        line = raw.strip()
        if line.startswith("<"):
            key, *arguments = split_tokens(line[1:]) or [""]
            block = Block(key, arguments, number)
            if open_blocks:
                open_blocks[-1].children.append(block)
            open_blocks.append(block)
        elif line == ">" and open_blocks:
            closed = open_blocks.pop()
            closed.end = number
            if not open_blocks:
                return closed
        elif line and open_blocks:
            open_blocks[-1].children.append(Line(split_tokens(line), number))
    where = open_blocks[-1] if open_blocks else None
    raise ValueError(
        "line 1: it holds no project"
        if where is None
        else f"line {where.number}: <{where.key} is never closed"
    )


def split_tokens(line: str) -> list[str]:
    """Cut a line at blanks; a token that begins with a quote goes on to the same quote."""
    tokens, rest = [], line.strip()
    while rest:
        if rest[0] in QUOTES:
            token, _, rest = rest[1:].partition(rest[0])
        else:
            token, _, rest = rest.partition(" ")
        tokens.append(token)
        rest = rest.lstrip()
    return tokens


def quote(text: str) -> str:
    """Write a token in the first kind of quotes that is not in it, as REAPER does."""
    text = " ".join(text.split())
    for mark in QUOTES:
        if mark not in text:
            return f"{mark}{text}{mark}"
    return "`" + text.replace("`", "'") + "`"
