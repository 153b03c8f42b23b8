"""The Node.js example, a foreign gRPC implementation, gets the stems of a real server.

The server refuses compressed messages, and a proxy of the net is in the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.server import Server
from tests.helpers.songs import SOURCES, make_song, read_audio, write_song

EXAMPLE = Path(__file__).parents[2] / "clients" / "node"
RATE_HZ = 44100
INSTALL_TIMEOUT_S = 240.0


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, in a folder of its own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed (apt-get install nodejs npm)")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "separate.mjs"):
        shutil.copy(EXAMPLE / name, folder)
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if done.returncode != 0:
        pytest.skip(f"npm could not install the example's packages: {done.stderr[-500:]}")
    return folder


def separate(example: Path, server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "UGOSA_SERVER": server.target,
        "UGOSA_PROTOS": str(EXAMPLE.parents[1] / "protos"),
        "http_proxy": "http://127.0.0.1:9",  # nothing listens there
    }
    command = ["node", "separate.mjs", *arguments]
    return subprocess.run(
        command, cwd=example, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a song and a folder: node separate.mjs SONG OUT_DIR"),
        (("song.wav",), "name a song and a folder"),
        (("nowhere.wav", "stems"), "there is no file nowhere.wav"),
        (("separate.mjs", "stems", "vocals=0-2"), "vocals=0-2 is no mark; write one as no-vocals=0-12.5"),
        (("separate.mjs", "stems", "no-vocals=1.2.3-4"), "no-vocals=1.2.3-4 is no mark"),
        (("separate.mjs", "stems"), "none of the accepted kinds"),
    ],
)
def test_node_answers_wrong_use_with_a_sentence(
    example: Path, shared_server: Server, arguments: tuple[str, ...], sentence: str
) -> None:
    done = separate(example, shared_server, *arguments)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, "no stack trace"


def test_node_gets_stems_that_add_up_and_obey_the_marks(
    example: Path, shared_server: Server, tmp_path: Path
) -> None:
    song = make_song(3 * RATE_HZ, RATE_HZ, seed=11)
    path = write_song(song, tmp_path / "my söng.wav")
    done = separate(example, shared_server, str(path), str(tmp_path / "stems"), "no-vocals=0-1.5")
    assert done.returncode == 0, done.stderr
    assert "JOB_PHASE_ADAPTATION" in done.stdout
    assert done.stdout.splitlines()[-1] == "JOB_STATE_SUCCEEDED"
    stems = {source: read_audio(tmp_path / "stems" / f"{source}.wav") for source in SOURCES}
    assert np.array_equal(sum(stems.values()), read_audio(path))
    assert not stems["vocals"][: RATE_HZ // 2].any()


def test_node_is_told_what_the_server_refuses(example: Path, shared_server: Server, tmp_path: Path) -> None:
    path = write_song(make_song(RATE_HZ, RATE_HZ), tmp_path / "song.wav")
    done = separate(example, shared_server, str(path), str(tmp_path / "stems"), "no-kazoo=0-1")
    assert done.returncode != 0
    assert 'the source "kazoo"' in done.stderr
    assert not (tmp_path / "stems").exists()
    (tmp_path / "noise.wav").write_bytes(b"not audio at all" * 1000)
    done = separate(example, shared_server, str(tmp_path / "noise.wav"), str(tmp_path / "stems"))
    assert done.returncode != 0
    assert "send WAV, FLAC" in done.stderr
