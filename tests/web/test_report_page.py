"""The page of a report in a real Chromium, as a file: the scenarios of tests/web/browser/report.mjs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song
from tests.web.test_browser import CHROMIUM, NODE_MODULES
from tests.web.test_browser import pytestmark as needs_browser
from ugosa_client.cli import main

SCENARIOS = Path(__file__).with_name("browser") / "report.mjs"
SONG_S = 12  # longer than the excerpt

pytestmark = needs_browser


@pytest.fixture(scope="module")
def results(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job's stems, with its page and all of its takes."""
    folder = tmp_path_factory.mktemp("report")
    song = write_song(make_song(SONG_S * 44_100), folder / "song.wav")
    marks = folder / "song.txt"
    marks.write_text("1\t3\tno drums\n")
    server = ["--server", shared_server.target]
    words = [
        "separate",
        str(song),
        "--marks",
        str(marks),
        "--epochs",
        "1",
        "-o",
        str(folder / "out"),
        *server,
    ]
    assert main(words) == 0
    job = next(part for part in (folder / "out" / "report.json").read_text().split('"') if "job-" in part)
    assert main(["report", job, "-o", str(folder / "out"), "--takes", *server]) == 0
    return folder / "out"


def run(scenario: str, page: Path, out_dir: Path) -> None:
    """Run a scenario on a page to its end; its assertions are the test's."""
    done = subprocess.run(
        ["node", str(SCENARIOS), scenario, page.as_uri()],
        env={
            **os.environ,
            "UGOSA_NODE_MODULES": str(NODE_MODULES),
            "UGOSA_CHROMIUM": str(CHROMIUM),
            "UGOSA_OUT": str(out_dir),
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "scenario",
    ["every_take_plays_any_place_of_the_song", "keys_solo_mute_and_loop", "text_grows_with_the_browser"],
)
def test_page_beside_its_stems(results: Path, tmp_path: Path, scenario: str) -> None:
    run(scenario, results / "report.html", tmp_path)


def test_page_that_is_sent_alone(results: Path, tmp_path: Path) -> None:
    page = Path(shutil.copy(results / "report.html", tmp_path))
    assert page.stat().st_size < 1_000_000
    run("page_alone_plays_the_excerpt_of_every_take", page, tmp_path)
