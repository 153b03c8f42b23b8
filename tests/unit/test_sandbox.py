"""Children end with their parent, and only a fault of the input is called one."""

import asyncio
import os
import subprocess
import sys

import psutil
import pytest

from ugosa_server.errors import DecoderCrashedError, DecoderFailedError, DecoderStoppedError
from ugosa_server.sandbox import ask_child

LIMITED = """
import json, signal, sys
from ugosa_server.sandbox import limit_this_process
limit_this_process({"cpu_s": 60, "parent_pid": int(sys.argv[1])}, 1 << 32)
print("limited", flush=True)
signal.pause()
"""
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {LIMITED!r}, str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_a_child_ends_with_its_killed_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        gone, _ = psutil.wait_procs([child], timeout=30)
        assert gone or child.status() == psutil.STATUS_ZOMBIE


def test_a_child_of_a_parent_that_has_gone_ends_at_once():
    child = subprocess.run([sys.executable, "-c", LIMITED, "1"], capture_output=True, timeout=60, check=False)
    assert child.returncode == 1
    assert b"limited" not in child.stdout


def ask(tmp_path, monkeypatch, code):
    (tmp_path / "decoder_of_a_test.py").write_text(f"import os, sys\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return asyncio.run(ask_child("decoder_of_a_test", {}, 60.0, "the audio", "export it again"))


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("os.kill(os.getpid(), 11)", DecoderCrashedError, "damaged or not what it seems; export it again"),
        ("raise MemoryError", DecoderCrashedError, "damaged"),
        ("os.kill(os.getpid(), 9)", DecoderStoppedError, "stopped from outside, try again"),
        ("os.kill(os.getpid(), 15)", DecoderStoppedError, "stopped from outside"),
        ("raise ZeroDivisionError", DecoderFailedError, "a fault of the server"),
    ],
)
def test_an_ending_is_blamed_on_whose_fault_it_was(tmp_path, monkeypatch, code, error, words):
    with pytest.raises(error, match=words):
        ask(tmp_path, monkeypatch, code)


def test_machine_that_starts_no_process_is_no_fault_of_the_song(tmp_path, monkeypatch):
    async def refuse(*_, **__):
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(DecoderStoppedError, match="starts no process"):
        ask(tmp_path, monkeypatch, "")
