"""Labels of an Audacity project: which of them are suggestions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "audacity"))
from ugosa_audacity.labels import Label


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("no vocals 87% ?", "no vocals"),
        ("drums ?", "drums"),
        ("really? no bass 9% ?", "really? no bass"),
        ("Bridge 2 ?", "Bridge 2"),
        ("Who sings here?", None),
        ("no vocals", None),
    ],
)
def test_suggestion_is_told_from_a_question_of_the_user(text: str, suggested: str | None) -> None:
    label = Label(text, 0.0, 1.0)
    assert label.suggested == suggested
    assert label.is_own is (suggested is not None)
