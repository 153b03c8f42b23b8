"""The page of `ugosa web` in a real Chromium, over a real server: the scenarios of tests/web/browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.server import Server, StartServer
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobOptions

pytest.importorskip("starlette", reason="the page needs starlette and uvicorn")
pytest.importorskip("uvicorn", reason="the page needs starlette and uvicorn")

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).with_name("browser") / "scenarios.mjs"
NODE_MODULES = Path(
    os.environ.get("UGOSA_NODE_MODULES", ROOT / ".venv/page/node_modules")
)  # `make test-web` installs there
CHROMIUM = os.environ.get("UGOSA_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SONG_S = 6
PAGE_AT = re.compile(r"the page is at (http://127\.0\.0\.1:\S+)")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
    pytest.mark.skipif(shutil.which("node") is None, reason="no node here: install Node.js"),
    pytest.mark.skipif(
        not (NODE_MODULES / "playwright-core").is_dir(),
        reason="no playwright-core here: make test-web installs it",
    ),
]


class Page:
    """`ugosa web` with a song, as a process, and scenarios in a browser on it."""

    def __init__(self, server: Server, song: Path, out_dir: Path, *words: str) -> None:
        self._server = server
        self._out_dir = out_dir
        self._gateway = subprocess.Popen(
            [sys.executable, "-m", "ugosa_client.cli", "web", str(song), "--no-browser", *words],
            env={**os.environ, "UGOSA_SERVER": server.target, "XDG_STATE_HOME": str(out_dir / "state")},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._gateway.stderr is not None
        lines = []
        for line in self._gateway.stderr:
            lines.append(line)
            if found := PAGE_AT.search(line):
                self.address = found[1]
                break
        else:
            raise AssertionError("".join(lines))

    def run(self, scenario: str) -> None:
        """Run a scenario to its end; its assertions are the test's."""
        process = subprocess.Popen(
            ["node", str(SCENARIOS), scenario, self.address],
            env={
                **os.environ,
                "UGOSA_NODE_MODULES": str(NODE_MODULES),
                "UGOSA_CHROMIUM": str(CHROMIUM),
                "UGOSA_OUT": str(self._out_dir),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if line.strip() == "ask restart":
                self._server.kill()
                self._server.start()
                self._server.wait_ready()
                process.stdin.write("done\n")
                process.stdin.flush()
        assert process.wait() == 0, "".join(told)

    def close(self) -> None:
        """End the gateway, as Ctrl-C does."""
        self._gateway.terminate()
        self._gateway.wait(60)


@pytest.fixture
def open_page(
    shared_server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Open pages of songs, each of which no other test has sent before."""
    pages: list[Page] = []

    def open_page(server: Server = shared_server, song: Path | None = None, *words: str) -> Page:
        seed = zlib.crc32(request.node.name.encode())
        song = song or write_song(make_song(SONG_S * 44100, seed=seed), tmp_path / "song.wav")
        pages.append(Page(server, song, tmp_path, *words))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    "scenario",
    [
        "drag_draws_silence_and_undo_takes_it_back",
        "edge_resizes_a_mark_and_middle_moves_it",
        "label_stays_within_its_mark",
        "marks_are_there_again_after_a_reload",
        "mark_drawn_while_the_page_comes_anew_stays",
        "finding_is_a_badge_on_its_mark",
        "changed_mark_gives_a_second_version",
        "slow_answer_is_waited_for_and_asked_once",
        "older_answer_takes_no_version_back",
        "job_goes_on_from_the_last_or_starts_fresh",
        "takes_switch_without_a_gap_or_a_shift",
        "solo_and_loop_are_sample_exact",
        "drag_over_the_times_loops_a_stretch",
        "sound_that_failed_once_is_asked_for_again",
        "every_key_does_what_the_list_says",
        "suggestion_is_accepted_by_enter",
        "keys_are_about_no_mark_of_another_lane",
        "keyboard_alone_marks_and_separates",
        "fingers_draw_move_and_remove_marks",
        "text_grows_with_the_browser",
        "wrong_key_and_foreign_pages_are_refused",
    ],
)
def test_page(open_page: Callable[..., Page], scenario: str) -> None:
    open_page().run(scenario)


def test_marks_of_the_command_can_be_undone(
    open_page: Callable[..., Page], shared_server: Server, tmp_path: Path
) -> None:
    song = write_song(make_song(SONG_S * 44100, seed=7), tmp_path / "song.wav")
    marks = tmp_path / "song.txt"
    marks.write_text("1.2\t3\tno drums\n")
    words = (shared_server, song, "--marks", str(marks))
    open_page(*words).run("marks_of_a_file_are_there_and_one_is_drawn")
    open_page(*words).run("marks_of_a_file_come_in_place_of_those_drawn_until_undone")


def test_a_song_dropped_on_its_own_page_is_heard(
    open_page: Callable[..., Page], shared_server: Server, tmp_path: Path
) -> None:
    song = write_song(make_song(SONG_S * 44100, seed=8), tmp_path / "earlier.wav")
    with shared_server.client() as client:
        job = client.create_job(client.upload(song).upload_id, options=JobOptions(strategy="B0"))
        assert list(client.watch(job.job_id))
    open_page().run("song_dropped_on_its_own_page_is_heard")


def test_page_passes_axe(open_page: Callable[..., Page]) -> None:
    if not (NODE_MODULES / "axe-core").is_dir():
        pytest.skip("no axe-core here: make test-web installs it")
    open_page().run("labels_and_contrast_pass_axe")


def test_downloaded_stems_null_against_the_mix(open_page: Callable[..., Page], tmp_path: Path) -> None:
    open_page().run("separation_gives_both_takes_and_its_zip")
    mix = soundfile.read(tmp_path / "song.wav", dtype="float32")[0]
    for name in ("under your marks", "adapted"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        stems = sorted((tmp_path / name).glob("*.wav"))
        assert [path.name for path in stems] == [
            f"song {s}.wav" for s in ("bass", "drums", "other", "vocals")
        ]
        total = sum(soundfile.read(path, dtype="float32")[0].astype(np.float64) for path in stems)
        np.testing.assert_array_equal(np.float32(total), mix)
        marked = soundfile.read(stems[-1])[0][int(0.1 * len(mix)) : int(0.4 * len(mix))]
        assert not marked.any()
    assert "no vocals" in (tmp_path / "marks.txt").read_text()


def test_server_may_restart_while_the_page_watches(
    open_page: Callable[..., Page], start_server: StartServer, tmp_path: Path
) -> None:
    song = write_song(make_song(20 * 44100), tmp_path / "song.wav")  # learning takes a while
    open_page(start_server(), song).run("restart_of_the_server_loses_no_event")


def test_base_is_heard_early_and_learning_is_cut_short(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    song = write_song(make_song(40 * 44100), tmp_path / "song.wav")
    open_page(song=song).run("base_is_heard_early_and_what_is_learned_is_taken")


def test_what_is_learned_so_far_is_heard(open_page: Callable[..., Page], tmp_path: Path) -> None:
    song = write_song(make_song(60 * 44100), tmp_path / "song.wav")
    open_page(song=song).run("what_is_learned_so_far_is_heard")


def test_limit_and_format_are_chosen_on_the_page(open_page: Callable[..., Page], tmp_path: Path) -> None:
    song = write_song(make_song(16 * 44100), tmp_path / "song.wav")  # silence enough to hold some back
    open_page(song=song).run("limit_and_format_reach_the_job_and_flac_plays")


@pytest.mark.slow
def test_hour_of_song_plays_in_bounded_memory(open_page: Callable[..., Page], tmp_path: Path) -> None:
    song = write_song(make_song(3600 * 8000, 8000, channels=1), tmp_path / "hour.wav")
    open_page(song=song).run("hour_of_song_scrolls_and_plays_in_bounded_memory")
