"""Findings and suggestions of the server, as regions at their place of the project."""

from __future__ import annotations

from pathlib import Path

from tests.daw.reaper.scene import Scene
from tests.helpers.songs import make_song, write_song


def test_suggestions_and_findings_come_back_as_regions(scene: Scene, folder: Path) -> None:
    made = make_song(4 * 44100)
    made.samples[2 * 44100 :] *= 0.05  # a loud half to be heard playing beside a soft one
    song = write_song(made, folder / "söng.wav")
    item = {"path": str(song), "values": {"B_UISEL": 1, "D_POSITION": 7.0, "D_LENGTH": 3.0}}
    scene.add_track("mix", {**item, "take_values": {"D_STARTOFFS": 0.5}})
    scene.add_region("-drums, -bass, -other, -vocals", 8.5, 9.0)
    suggested = scene.play("Suggest marks", until="Those of a place")
    checked = scene.play("Check marks", until="Those of a place")
    assert suggested.undo_steps == checked.undo_steps == ["UGOSA: findings and suggestions"]
    for outcome, kind in ((suggested, " ?"), (checked, "UGOSA: ")):
        regions = [region for region in outcome.regions if kind in region["name"]]
        assert regions, f"no region with {kind!r} among {outcome.regions}\n{outcome.screen}"
        assert all(7.0 <= region["start_s"] < region["end_s"] <= 10.0 for region in regions)
        assert outcome.after == outcome.before
