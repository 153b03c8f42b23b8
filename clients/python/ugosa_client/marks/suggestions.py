"""Suggestions as named regions: `no vocals 87% ?` counts once its question mark is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ugosa_client.marks.regions import Region, regions_of_marks

if TYPE_CHECKING:  # the calls of the server need this module
    from ugosa_client.advice import Suggestion

SUGGESTION = re.compile(r"(?P<said>.*?)(?:\s+(?P<percent>\d{1,3})%)?\s+\?\s*", re.DOTALL)


def regions_of_suggestions(suggestions: Iterable[Suggestion]) -> list[Region]:
    """Write suggestions as regions that do not count yet, in the order of time."""
    regions = []
    in_order = sorted(suggestions, key=lambda s: (s.mark.start_frame, s.mark.end_frame, s.mark.source))
    for suggestion in in_order:
        (region,) = regions_of_marks([suggestion.mark])
        regions.append(replace(region, name=f"{region.name} {suggestion.confidence:.0%} ?"))
    return regions


def is_suggestion(name: str) -> bool:
    """Return whether a region of that name is a suggestion that nobody has accepted."""
    return SUGGESTION.fullmatch(name) is not None


def accept(regions: Iterable[Region], min_percent: int) -> list[Region]:
    """Take the question mark off suggestions of that confidence or more; leave out the other suggestions."""
    accepted = []
    for region in regions:
        match = SUGGESTION.fullmatch(region.name)
        if match is None:
            accepted.append(region)
        elif int(match["percent"] or 0) >= min_percent:
            accepted.append(replace(region, name=match["said"]))
    return accepted
