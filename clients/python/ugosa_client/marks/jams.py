"""JAMS, the JSON annotation format of music research: annotations of namespace `tag_open`.

Each observation has time, duration and value (the region's name), in seconds. (Humphrey et al., "JAMS: A JSON
Annotated Music Specification for Reproducible MIR Research", ISMIR 2014.) Read and written as plain JSON: the
jams package brings pandas along, for four fields.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from ugosa_client.marks.regions import Position, Region, parse_seconds, rounded

NAMESPACE = "tag_open"
DECIMALS = 9  # a float64 holds them exactly enough up to 10^6 s
VERSION = "0.3.4"

T = TypeVar("T")


def looks_like(text: str) -> bool:
    """Return whether the text is a JSON object with annotations."""
    return text.lstrip().startswith("{") and '"annotations"' in text


def parse(text: str) -> list[Region]:
    """Read all observations of all `tag_open` annotations.

    Raises:
        ValueError: it is not JSON, or not JAMS, or has none.
    """
    try:
        document = json.loads(text, parse_float=str, parse_int=str)  # numbers as they were written
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is not JAMS: it is nested too deeply") from None
    annotations = _field(document, "annotations", list)
    names = [_field(annotation, "namespace", str) for annotation in annotations]
    if NAMESPACE not in names:
        others = ", ".join(sorted(set(names))) or "nothing"
        raise ValueError(f"it has no annotation of namespace {NAMESPACE!r}, but {others}")
    found = [annotation for annotation, name in zip(annotations, names, strict=True) if name == NAMESPACE]
    return [_region(row) for annotation in found for row in _field(annotation, "data", list)]


def write(regions: Sequence[Region], sample_rate_hz: int | None) -> str:
    """Write one `tag_open` annotation."""
    spans = [(_units(region.start, sample_rate_hz), _units(region.end, sample_rate_hz)) for region in regions]
    end_s = max((end for _, end in spans), default=0) / 10**DECIMALS
    annotation = {
        "namespace": NAMESPACE,
        "annotation_metadata": {"annotation_tools": "ugosa"},
        "time": 0,
        "duration": end_s,
        "sandbox": {},
        "data": [
            {
                "time": start / 10**DECIMALS,
                "duration": (end - start) / 10**DECIMALS,
                "value": region.name,
                "confidence": None,
            }
            for region, (start, end) in zip(regions, spans, strict=True)
        ],
    }
    document: dict[str, Any] = {
        "annotations": [annotation],
        "file_metadata": {
            "title": "",
            "artist": "",
            "release": "",
            "duration": end_s,
            "identifiers": {},
            "jams_version": VERSION,
        },
        "sandbox": {},
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _region(row: Any) -> Region:
    start, duration = (parse_seconds(_field(row, name, str)) for name in ("time", "duration"))
    return Region(_field(row, "value", str).strip(), start, start + duration)


def _field(of: Any, name: str, kind: type[T]) -> T:
    """Return a field of a JSON object."""
    value = of.get(name) if isinstance(of, dict) else None
    if not isinstance(value, kind):
        raise ValueError(f"it is not JAMS: {name!r} is missing, or not what it should be")
    return value


def _units(position: Position, sample_rate_hz: int | None) -> int:
    return rounded(position.seconds(sample_rate_hz) * 10**DECIMALS)
