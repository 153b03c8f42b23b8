"""Decoding in a child process, so that a file that upsets a decoder costs one child and not the server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ugosa_server.audio.decoding.request import DecodeRequest
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import BadAudioError, DecoderCrashedError, UgosaError
from ugosa_server.files import tmp_path_of

log = logging.getLogger(__name__)

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # decoding has no use for more
STDERR_TAIL_BYTES = 2000


async def decode_in_child(request: DecodeRequest, timeout_s: float) -> SourceAudio:
    """Decode a file in a child process with limited memory and CPU time.

    Cancelling the call kills the child; nothing is left behind but a finished file.

    Raises:
        BadAudioError: the audio is unusable.
        DecoderCrashedError: decoding it crashed or took longer than `timeout_s`.
        UnsupportedEncodingError: the container, sample format, rate or channel count is not accepted.
        DiskFullError: no room for the decoded frames.
    """
    try:
        answer = await ask_child(
            "ugosa_server.audio.decoding.child",
            dataclasses.asdict(request),
            timeout_s,
            "the audio",
            "export it again, as WAV or FLAC",
        )
    except (DecoderCrashedError, asyncio.CancelledError):
        tmp_path_of(Path(request.out_path)).unlink(missing_ok=True)
        raise
    return SourceAudio(**answer["source"])


async def ask_child(
    module: str, fields: dict[str, Any], timeout_s: float, what: str, way_out: str
) -> dict[str, Any]:
    """Have a child process answer a request, JSON on stdin and on stdout; cancelling the call kills it.

    Args:
        module: what it runs; it takes the field `cpu_s` for its limit.
        fields: the request.
        timeout_s: time for the answer.
        what: is decoded there, for messages.
        way_out: what the user can do if that crashes, for messages.

    Raises:
        UgosaError: that the child answers with.
        DecoderCrashedError: it crashed or took longer than `timeout_s`.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | ONE_THREAD,
    )
    try:
        async with asyncio.timeout(timeout_s):
            request = json.dumps(fields | {"cpu_s": math.ceil(timeout_s) + 1})
            stdout, stderr = await child.communicate(request.encode())
    except TimeoutError as error:
        raise DecoderCrashedError(
            f"decoding {what} took longer than {timeout_s:.0f} s and was stopped"
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
        raise DecoderCrashedError(
            f"{what} cannot be decoded: its decoder {how_it_ended(child.returncode)}. The file is"
            f" damaged or not what it seems; {way_out}"
        )
    answer: dict[str, Any] = json.loads(stdout)
    if "error" in answer:
        raise error_of_answer(answer)
    return answer


def error_of_answer(answer: dict[str, Any]) -> UgosaError:
    """The error that a child has answered with."""
    error = answer["error"]
    return _error_of(error["reason"])(error["message"], **error["metadata"])


def how_it_ended(returncode: int) -> str:
    """The end of a child process, for people."""
    if returncode >= 0:
        return f"failed (exit status {returncode})"
    return f"crashed ({signal.Signals(-returncode).name})"


def _error_of(reason: str) -> type[UgosaError]:
    return next((error for error in _descendants(UgosaError) if error.reason == reason), BadAudioError)


def _descendants(error: type[UgosaError]) -> Iterator[type[UgosaError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)
