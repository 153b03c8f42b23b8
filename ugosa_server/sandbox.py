"""Child processes that read bytes from strangers: start one with limits, ask it, explain how it ended.

A child gets one JSON request on stdin. It limits itself before it reads any of those bytes, so that a file
that upsets a C library costs one child and not the server.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import math
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

from ugosa_server.errors import (
    BadAudioError,
    DecoderCrashedError,
    DecoderFailedError,
    DecoderStoppedError,
    UgosaError,
)

log = logging.getLogger(__name__)

NICENESS = 10  # decoding must not make the server's answers late
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # decoding has no use for more
STDERR_TAIL_BYTES = 2000
PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOPPING_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # no file sends these


def child_command(module: str) -> list[str]:
    """Return the command line that runs a module of this installation."""
    return [sys.executable, "-m", module]


def child_environment() -> dict[str, str]:
    """Return the environment of a child: this process's, with one thread for arithmetic."""
    return os.environ | ONE_THREAD


async def ask_child(
    module: str, fields: dict[str, Any], timeout_s: float, what: str, way_out: str
) -> dict[str, Any]:
    """Have a child process answer a request, JSON on stdin and on stdout; cancelling the call kills it.

    Args:
        module: to run; it takes the field `cpu_s` for its limit.
        fields: the request.
        timeout_s: time for the answer.
        what: is decoded there, for messages.
        way_out: advice for the user if that crashes, for messages.

    Raises:
        UgosaError: the child's answer is an error.
        DecoderCrashedError: it crashed or took longer than `timeout_s`.
        DecoderStoppedError: it could not be started, or was killed from outside.
        DecoderFailedError: our own code in it failed.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *child_command(module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(),
        )
    except OSError as error:
        raise DecoderStoppedError(
            f"{what} could not be decoded now: the server's machine starts no process ({error.strerror}); try"
            " again in a minute"
        ) from error
    try:
        async with asyncio.timeout(timeout_s):
            request = json.dumps(fields | limits_of_child(math.ceil(timeout_s) + 1))
            stdout, stderr = await child.communicate(request.encode())
    except TimeoutError as error:
        raise DecoderCrashedError(
            f"decoding {what} took longer than {timeout_s:.0f} s and was stopped; {way_out}"
        ) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        log.warning(
            "decoder ended with %s: %s",
            child.returncode,
            stderr[-STDERR_TAIL_BYTES:].decode(errors="replace"),
        )
        raise _error_of_ending(child.returncode, stderr, what, way_out)
    answer: dict[str, Any] = json.loads(stdout)
    if "error" in answer:
        raise error_of_answer(answer)
    return answer


def limits_of_child(cpu_s: int) -> dict[str, int]:
    """Return the fields of a request that `limit_this_process` wants."""
    return {"cpu_s": cpu_s, "parent_pid": os.getpid()}


def limit_this_process(
    request: Mapping[str, Any], address_space_bytes: int, niceness: int = NICENESS
) -> None:
    """Give up the rest of memory, CPU time, core dumps and priority, and life after the parent's."""
    _end_with(int(request["parent_pid"]))
    cpu_s = int(request["cpu_s"])
    resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)


def _end_with(parent_pid: int) -> None:
    """Have the system kill this process when its parent ends; it may have ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the process that asked has gone")


def _error_of_ending(returncode: int, stderr: bytes, what: str, way_out: str) -> UgosaError:
    """Return the error for a child that ended without an answer: only the input's own fault is called one."""
    ending = f"{what} could not be decoded: its decoder {ending_of(returncode)}"
    if -returncode in STOPPING_SIGNALS:
        return DecoderStoppedError(f"{ending}; it was stopped from outside, try again in a minute")
    if returncode > 0 and b"MemoryError" not in stderr:
        return DecoderFailedError(f"{ending}; that is a fault of the server, whose log has the details")
    return DecoderCrashedError(f"{ending}. The file is damaged or not what it seems; {way_out}")


def answer_of_error(error: UgosaError) -> dict[str, Any]:
    """Return a child's answer that `error_of_answer` turns into the same error."""
    return {"error": {"reason": error.reason, "message": error.message, "metadata": error.metadata}}


def error_of_answer(answer: dict[str, Any]) -> UgosaError:
    """Return the error that a child has answered with."""
    error = answer["error"]
    return UgosaError.by_reason.get(error["reason"], BadAudioError)(error["message"], **error["metadata"])


def ending_of(returncode: int) -> str:
    """Describe the end of a child process for people."""
    if returncode >= 0:
        return f"failed (exit status {returncode})"
    return f"crashed ({signal.Signals(-returncode).name})"
