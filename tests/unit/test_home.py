"""A user without a home directory, as in containers, needs none for what names all its folders."""

import os
import subprocess
import sys

import pytest

WITHOUT_A_HOME = """
import importlib, pwd, sys
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
"""


def run(tmp_path, *words):
    """Run a command as a user who is in no list of users."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WITHOUT_A_HOME, *words]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_what_names_its_folders_needs_no_home(tmp_path):
    words = ("token", "create", "--principal", "anna", "--state-dir", str(tmp_path / "s"))
    answer = run(tmp_path, "ugosa_server.cli", *words)
    assert answer.returncode == 0
    answer = run(tmp_path, "ugosa_client.cli", "models", "--server", "127.0.0.1:1")
    assert answer.returncode == 3
    assert "no UGOSA server answers" in answer.stderr


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (["ugosa_server.cli", "token", "list"], "name a folder with --state-dir, or set HOME"),
        (["ugosa_server.cli", "token", "list", "--state-dir", "~nobody-here/s"], "write the whole path"),
        (["ugosa_server.cli", "backup", "copy", "--state-dir", "~nobody-here/s"], "write the whole path"),
        (["ugosa_client.cli", "models"], "name the server with --server or UGOSA_SERVER"),
        (["ugosa_client.cli", "models", "--server", "unix:~/u.sock"], "write the whole path"),
    ],
)
def test_a_home_that_is_needed_is_told_with_the_way_out(tmp_path, words, way_out):
    answer = run(tmp_path, *words)
    assert answer.returncode == 2
    assert way_out in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
