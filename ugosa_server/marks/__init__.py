"""The musician's marks: checked, and turned into activities h[i, n] and gains."""

from ugosa_server.marks.activity import SilenceGains, fade_frames
from ugosa_server.marks.levels import LevelMeter, SongLevels, load_levels, save_levels
from ugosa_server.marks.lint import heard_silence, lint_marks, still_sounding
from ugosa_server.marks.model import (
    Interval,
    Mark,
    MarkSet,
    MarkState,
    clock,
    complement,
    inside,
    intersect,
    merge,
)
from ugosa_server.marks.suggest import Suggestion, suggest_marks
from ugosa_server.marks.validate import (
    Finding,
    Severity,
    check_all_silent,
    check_marks_of_absent,
    marks_of_ensemble,
    playing_sources,
    validate_instruments,
    validate_marks,
    validate_stems,
    without_all_silent,
)

__all__ = [
    "Finding", "Interval", "LevelMeter", "Mark", "MarkSet", "MarkState", "Severity", "SilenceGains",
    "SongLevels", "Suggestion", "check_all_silent", "check_marks_of_absent", "clock", "complement",
    "fade_frames", "heard_silence", "inside", "intersect", "lint_marks", "load_levels",
    "marks_of_ensemble", "merge", "playing_sources", "save_levels", "still_sounding",
    "suggest_marks", "validate_instruments", "validate_marks", "validate_stems", "without_all_silent",
]  # fmt: skip
