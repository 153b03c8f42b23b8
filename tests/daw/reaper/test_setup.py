"""Setup with nothing there: it installs the real helper from a copy of the project, and the helper works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daw.reaper.scene import REPOSITORY, Scene

NO = 7  # what a message box returns


@pytest.mark.slow
def test_setup_installs_the_helper_and_asks_the_server(scene: Scene) -> None:
    project = REPOSITORY / "clients" / "python" / "pyproject.toml"
    python = Path(sys.base_prefix) / "bin"
    outcome = scene.play(
        action="Setup",
        helper=scene.folder / "gone" / "ugosa",
        answers=(str(project), scene.server, NO),
        environment=dict(os.environ) | {"PATH": f"{python}:/usr/bin:/bin", "PYTHONPATH": ""},
        until="Ready.",
    )
    assert "pyproject.toml" in outcome.messages[0]["text"]
    (helper,) = scene.folder.glob("**/UGOSA/helper/bin/ugosa")
    said = subprocess.run([helper, "--version"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
