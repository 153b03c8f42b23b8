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

from ugosa_server.audio.decode_request import DecodeRequest
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.durable_files import tmp_path_of
from ugosa_server.errors import BadAudioError, DecoderCrashedError, UgosaError

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
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ugosa_server.audio.decode_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | ONE_THREAD,
    )
    fields = dataclasses.asdict(request) | {"cpu_s": math.ceil(timeout_s) + 1}
    finished = False
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await child.communicate(json.dumps(fields).encode())
        finished = child.returncode == 0
    except TimeoutError as error:
        raise DecoderCrashedError(
            f"decoding the audio took longer than {timeout_s:.0f} s and was stopped"
        ) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        if not finished:
            tmp_path_of(Path(request.out_path)).unlink(missing_ok=True)
    if not finished:
        log.warning(
            "decoder ended with %s: %s",
            child.returncode,
            stderr[-STDERR_TAIL_BYTES:].decode(errors="replace"),
        )
        raise DecoderCrashedError(
            f"the audio cannot be decoded: its decoder {_ending(child.returncode or 0)}. The file is"
            " damaged or not what it seems; export it again, as WAV or FLAC"
        )
    answer = json.loads(stdout)
    if "error" in answer:
        raise _error_of(answer["error"]["reason"])(answer["error"]["message"], **answer["error"]["metadata"])
    return SourceAudio(**answer["source"])


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"failed (exit status {returncode})"
    return f"crashed ({signal.Signals(-returncode).name})"


def _error_of(reason: str) -> type[UgosaError]:
    return next((error for error in _descendants(UgosaError) if error.reason == reason), BadAudioError)


def _descendants(error: type[UgosaError]) -> Iterator[type[UgosaError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)
