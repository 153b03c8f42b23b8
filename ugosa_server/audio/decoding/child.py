"""The child process that decodes one file: JSON request on stdin, JSON answer on stdout.

    {"path": ..., "out_path": ..., "pcm": {...} | null, "limits": {"max_frames": ...}, "cpu_s": ...}
    -> {"source": {...SourceAudio}}  or  {"error": {"reason": ..., "message": ..., "metadata": {...}}}

Run by `run_child.py` as `python -m ugosa_server.audio.decoding.child`. It limits itself before it reads a
byte of audio.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.decoding.limits import limit_this_process
from ugosa_server.audio.decoding.request import DecodeLimits, DecodeRequest
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.errors import DISK_FULL_MESSAGE, DiskFullError, UgosaError, is_disk_full

ADDRESS_SPACE_BYTES = 4 << 30  # libraries map far more than they use; the decoders need some tens of MB


def _answer(fields: dict[str, Any]) -> dict[str, Any]:
    pcm = fields["pcm"]
    request = DecodeRequest(
        path=fields["path"],
        out_path=fields["out_path"],
        pcm=RawPcm(PcmEncoding(pcm["encoding"]), pcm["sample_rate_hz"], pcm["channels"]) if pcm else None,
        limits=DecodeLimits(**fields["limits"]),
    )
    try:
        return {"source": dataclasses.asdict(decode(request))}
    except OSError as error:
        if not is_disk_full(error):
            raise
        full = DiskFullError(DISK_FULL_MESSAGE)
        return {"error": {"reason": full.reason, "message": full.message, "metadata": full.metadata}}
    except UgosaError as error:
        return {"error": {"reason": error.reason, "message": error.message, "metadata": error.metadata}}


def main() -> None:
    """Decode what stdin asks for."""
    fields = json.load(sys.stdin)
    limit_this_process(ADDRESS_SPACE_BYTES, int(fields["cpu_s"]))
    json.dump(_answer(fields), sys.stdout)


if __name__ == "__main__":
    main()
