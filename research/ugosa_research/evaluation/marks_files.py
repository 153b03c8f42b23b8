"""Marks of a data set on disk: JSON for programs, an Audacity label track for people.

JSON: {"sample_rate_hz": 44100, "marks": [{"source", "state", "start_frame", "end_frame"}, ...]}. A label says
`vocals` where vocals are active and `no vocals` where they are silent, from start to end in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ugosa_server.errors import BadRegionError
from ugosa_server.marks import Mark, MarkState


def write_marks(path: Path, marks: Sequence[Mark], sample_rate_hz: int) -> None:
    """Write `path` (.json) and the label track of the same name (.txt)."""
    listed = [
        {
            "source": mark.source,
            "state": mark.state.value,
            "start_frame": mark.start_frame,
            "end_frame": mark.end_frame,
        }
        for mark in marks
    ]
    document = {"sample_rate_hz": sample_rate_hz, "marks": listed}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    labels = sorted(marks, key=lambda mark: (mark.start_frame, mark.end_frame, mark.source))
    path.with_suffix(".txt").write_text(
        "".join(_label(mark, sample_rate_hz) for mark in labels), encoding="utf-8"
    )


def read_marks(path: Path) -> tuple[Mark, ...]:
    """Read the JSON file.

    Raises:
        BadRegionError: it is missing or is no such file.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["marks"]
        return tuple(
            Mark(mark["source"], MarkState(mark["state"]), mark["start_frame"], mark["end_frame"])
            for mark in listed
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRegionError(f"{path} holds no marks: {error}; prepare the data set again") from error


def _label(mark: Mark, sample_rate_hz: int) -> str:
    name = mark.source if mark.state is MarkState.ACTIVE else f"no {mark.source}"
    start_s, end_s = mark.start_frame / sample_rate_hz, mark.end_frame / sample_rate_hz
    return f"{start_s:.6f}\t{end_s:.6f}\t{name}\n"
