"""A scene of the REAPER stand-in: a project, an action, a user, and what came of it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.daw.reaper.arrangement import Audio, render

REPOSITORY = Path(__file__).parents[3]
SCRIPTS = REPOSITORY / "clients" / "reaper"
LUAS = [path for path in map(shutil.which, ("lua5.3", "lua5.4")) if path]
SCENE_TIMEOUT_S = 200


@dataclass
class Scene:
    """Project in front of the user, and actions of the user."""

    folder: Path
    """Folder of the project."""
    server: str
    """Address."""
    sample_rate_hz: int = 44100
    """Sample rate of the project."""
    tracks: list[dict[str, Any]] = field(default_factory=list)
    """Each {name, values, items: [{path, values, take_values}]}."""
    regions: list[dict[str, Any]] = field(default_factory=list)
    """Each {name, start_s, end_s}."""
    time_selection: tuple[float, float] = (0.0, 0.0)
    """Start and end in seconds; equal = none."""
    pending: str = ""
    """State that an earlier scene of the same project left."""
    has_imgui: bool = False
    """Whether ReaImGui is installed."""

    def add_track(self, name: str, *items: dict[str, Any], **values: float) -> None:
        """Add a track with items."""
        self.tracks.append({"name": name, "values": values, "items": items})

    def add_region(self, name: str, start_s: float, end_s: float) -> None:
        """Add a region."""
        self.regions.append({"name": name, "start_s": start_s, "end_s": end_s})

    def play(
        self,
        *clicks: str | tuple[str, str],
        until: str = "stems are in the project",
        until_pending: bool = False,
        action: str = "Separate with marks",
        lua: str | None = None,
        helper: Path | None = None,
        answers: tuple[str | int, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> Outcome:
        """Run an action, click on labels as they appear, and stop when `until` is on screen.

        A click can wait for a text: ("Waiting for its turn", "Cancel"). `answers` are given to dialogues, in
        their order; `environment` comes on top of what REAPER sees.
        """
        scene = {
            "folder": str(self.folder),
            "server": self.server,
            "sample_rate_hz": self.sample_rate_hz,
            "tracks": self.tracks,
            "regions": self.regions,
            "time_selection": self.time_selection,
            "pending": self.pending,
            "has_imgui": self.has_imgui,
            "action": action,
            "clicks": [
                {"when": "", "label": click}
                if isinstance(click, str)
                else {"when": click[0], "label": click[1]}
                for click in clicks
            ],
            "answers": answers,
            "until_shown": until,
            "until_pending": until_pending,
            "helper": str(helper or self.write_helper()),
            "renderer": shlex.join([sys.executable, "-m", "tests.daw.reaper.arrangement"]),
        }
        scene_path, result_path = self.folder / "scene.json", self.folder / "result.json"
        scene_path.write_text(json.dumps(scene), encoding="utf-8")
        play = subprocess.run(
            [lua or LUAS[-1], "spec/play.lua", str(scene_path), str(result_path)],
            cwd=SCRIPTS,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'clients/python'}"}
            | (environment or {}),
            capture_output=True,
            text=True,
            timeout=SCENE_TIMEOUT_S,
        )
        log = self.folder / "helper.log"
        said = log.read_text(encoding="utf-8") if log.exists() else ""
        assert play.returncode == 0, f"{play.stdout}\n{play.stderr}\nhelper: {said}"
        return Outcome(self, **json.loads(result_path.read_text(encoding="utf-8")))

    def write_helper(self) -> Path:
        """Put a `ugosa` command into the project's folder and return its path."""
        path = self.folder / "the helper" / "ugosa"
        path.parent.mkdir(exist_ok=True)
        command = shlex.join([sys.executable, "-m", "ugosa_client.cli"])
        path.write_text(f'#!/bin/sh\necho $$ > "$0.pid"\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
        return path

    def helper_pid(self) -> int:
        """Return the process id of the helper that was started last."""
        return int((self.folder / "the helper" / "ugosa.pid").read_text())


@dataclass
class Outcome:
    """Outcome of a scene."""

    scene: Scene
    """The scene that was played."""
    before: list[dict[str, Any]]
    """The arrangement before the action."""
    after: list[dict[str, Any]]
    """The arrangement at the end."""
    screen: str
    """Last contents of the window."""
    pending: str
    """The jobs that the project waits for."""
    messages: list[dict[str, str]]
    """Texts of message boxes."""
    undo_steps: list[str]
    """Labels of the undo steps that the script made."""
    regions: list[dict[str, Any]]
    """All regions at the end."""
    changes_without_undo: list[str]
    """Changes of the project that no undo step covers."""

    def render(self, tracks: list[dict[str, Any]]) -> Audio:
        """Render an arrangement from 0 to a second after its end: [T, 2]."""
        rate_hz = self.scene.sample_rate_hz
        ends = [
            item["values"]["D_POSITION"] + item["values"]["D_LENGTH"]
            for track in (*self.before, *self.after)
            for item in track["items"]
        ]
        return render(tracks, rate_hz, int((max(ends) + 1) * rate_hz))

    def difference(self) -> float:
        """Return the peak of what the arrangements before and after differ by."""
        before, after = self.render(self.before), self.render(self.after)
        assert np.max(np.abs(before)) > 0.05, "the arrangement is silent, and nothing would null against it"
        return float(np.max(np.abs(before - after)))

    def stem(self, source: str) -> dict[str, Any]:
        """Return the first item on the track of that name."""
        (track,) = (track for track in self.after if track["name"] == source)
        item: dict[str, Any] = track["items"][0]
        return item
