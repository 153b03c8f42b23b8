"""Labels of the open project: the user's, which are marks, and those of this client.

A label that ends in a blank and a question mark is a suggestion, one that begins with "UGOSA: " a finding.
Neither is a mark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ugosa_audacity.pipe import AudacityPipe
from ugosa_client import Mark
from ugosa_client.advice import Suggestion
from ugosa_client.errors import BadInputError
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.marks.regions import Position, Region, clock_texts
from ugosa_client.marks.suggestions import SUGGESTION, regions_of_suggestions

FINDING_PREFIX = "UGOSA: "
SUGGESTIONS_TRACK = "UGOSA suggestions"
FINDINGS_TRACK = "UGOSA findings"
ASK_FOR_NAME = "/GUI/DialogForNameNewLabel"
"""Preference: whether a new label opens a dialog for its name, which blocks the pipe."""


@dataclass(frozen=True)
class Label:
    """A region label."""

    text: str
    """Text, for example "no vocals"."""
    start_s: float
    """Start on the project's time line, in seconds; Audacity reports six digits."""
    end_s: float
    """End, in seconds."""

    @property
    def suggested(self) -> str | None:
        """Text of the suggestion without its question mark; None if it is none."""
        match = SUGGESTION.fullmatch(self.text)
        return match and match["said"]

    @property
    def is_own(self) -> bool:
        """Whether this client wrote it and the user has not accepted it."""
        return self.suggested is not None or self.text.startswith(FINDING_PREFIX)


def all_labels(audacity: AudacityPipe) -> Iterator[tuple[int, Label]]:
    """Yield each label with its track's place among all tracks, in the order of `SetLabel`."""
    for track, labels in audacity.info("Labels"):
        for start_s, end_s, text in labels:
            yield track, Label(text, start_s, end_s)


def region_labels(audacity: AudacityPipe) -> list[Label]:
    """Return the user's labels of all label tracks that cover time; points say nothing.

    Raises:
        BadInputError: there are none.
    """
    labels = [label for _, label in all_labels(audacity) if label.start_s < label.end_s]
    if not labels:
        raise BadInputError(
            "the project has no region labels; select the time in which an instrument is silent, "
            "press Ctrl+B, and write for example 'no vocals'"
        )
    marks = [label for label in labels if not label.is_own]
    if not marks:
        raise BadInputError(
            "the project's labels are only suggestions so far; take the question mark off those that are "
            "right, or accept them all with `ugosa-audacity accept`"
        )
    return marks


def examine_labels(
    labels: Sequence[Label], sources: Sequence[str], sample_rate_hz: int, frames: int
) -> tuple[tuple[Mark, ...], list[Finding]]:
    """Return the marks of labels, cut at the ends of the track, and findings about the others."""
    regions, findings = [], []
    at: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        start_frame = max(0, round(label.start_s * sample_rate_hz))
        end_frame = min(frames, round(label.end_s * sample_rate_hz))
        if start_frame < end_frame:
            start, end = (Position(Fraction(frame), in_frames=True) for frame in (start_frame, end_frame))
            regions.append(Region(label.text, start, end, named_freely=True))
            at[label.text].append(label)
        else:
            what = f"the label {label.text!r} at {label.start_s:.3f} s lies outside the track and is left out"
            fix = "move it over the track, if it is meant for the song"
            findings.append(Finding("OUTSIDE_ITEM", Severity.INFO, what, fix, region=label.text))
    marks, wrong = examine_regions(regions, sources, sample_rate_hz, frames)
    for finding in wrong:
        if finding.start_frame is None:  # it is about the text
            label = at[finding.region].pop(0)
            start_frame, end_frame = (
                round(time_s * sample_rate_hz) for time_s in (label.start_s, label.end_s)
            )
            finding = replace(finding, start_frame=start_frame, end_frame=end_frame)
        findings.append(finding)
    return marks, findings


def require_marks(findings: Iterable[Finding], sample_rate_hz: int) -> None:
    """Refuse labels that have an error.

    Raises:
        BadInputError: a label is not understood, or contradicts another; the message says which.
    """
    for finding in findings:
        if finding.severity is Severity.ERROR and finding.start_frame is not None:
            (start,) = clock_texts([finding.start_frame], sample_rate_hz)
            raise BadInputError(f"label {finding.region!r} at {start}: {finding.text}")


def suggestion_labels(suggestions: Iterable[Suggestion], sample_rate_hz: int) -> list[Label]:
    """Write suggestions as labels such as "no vocals 87% ?"."""
    return [
        Label(
            region.name,
            float(region.start.seconds(sample_rate_hz)),
            float(region.end.seconds(sample_rate_hz)),
        )
        for region in regions_of_suggestions(suggestions)
    ]


def finding_labels(findings: Iterable[Finding], sample_rate_hz: int) -> list[Label]:
    """Write the findings that have a place as labels."""
    return [
        Label(
            f"{FINDING_PREFIX}{finding.severity}: {finding.text}",
            finding.start_frame / sample_rate_hz,
            finding.end_frame / sample_rate_hz,
        )
        for finding in findings
        if finding.start_frame is not None and finding.end_frame is not None
    ]


def write_label_track(audacity: AudacityPipe, name: str, labels: Sequence[Label]) -> None:
    """Add a label track in place of the one that this client wrote before; none for no labels.

    A track in which the user has accepted or written a label stays.
    """
    _remove_own_track(audacity, name)
    if not labels:
        return
    audacity.do("NewLabelTrack")
    audacity.do("SetTrackStatus", Name=name)
    place = next(i for i, track in enumerate(audacity.info("Tracks")) if track["focused"])
    before = audacity.preference(ASK_FOR_NAME)
    audacity.do("SetPreference", Name=ASK_FOR_NAME, Value="0")
    try:
        for label in labels:
            audacity.do("Select", Start=label.start_s, End=label.end_s, Track=place, TrackCount=1)
            audacity.do("AddLabel")
    finally:
        audacity.do("SetPreference", Name=ASK_FOR_NAME, Value=before or "0")
    first = [track for track, _ in all_labels(audacity)].index(place)
    # Audacity keeps labels by their start, and those of one start in an order of its own: say all of each.
    for index, label in enumerate(sorted(labels, key=lambda label: label.start_s), start=first):
        audacity.do("SetLabel", Label=index, Text=label.text, Start=label.start_s, End=label.end_s)


def accept_suggestions(audacity: AudacityPipe) -> int:
    """Make all suggestions marks, and return how many there were."""
    count = 0
    for index, (_, label) in enumerate(all_labels(audacity)):
        if label.suggested:
            audacity.do("SetLabel", Label=index, Text=label.suggested)
            count += 1
    return count


def _remove_own_track(audacity: AudacityPipe, name: str) -> None:
    labels = list(all_labels(audacity))
    for place, track in reversed(list(enumerate(audacity.info("Tracks")))):
        is_own = all(label.is_own for at, label in labels if at == place)
        if track["kind"] == "label" and track["name"] == name and is_own:
            audacity.do("SelectTracks", Track=place, TrackCount=1, Mode="Set")
            audacity.do("RemoveTracks")
