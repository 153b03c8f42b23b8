"""Songs of a batch that the server has forgotten: a file in the folder of each says that it is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ugosa_client.stem_files import StemFiles

DONE_NAME = ".ugosa-batch.json"


@dataclass(frozen=True)
class DoneSong:
    """A song whose results lie in its folder."""

    request_id: str
    """Id that the same song, marks, options and video always get."""
    stem_files: dict[str, str | None]
    """Rule by which the stems were named and encoded."""
    sizes_bytes: dict[str, int]
    """Size of each result, by file name."""
    job_id: str
    """The job that made them."""
    marks: int
    """Number of marks."""
    verdict: str
    """Whether fine-tuning helped, in words."""


def done_song(folder: Path, request_id: str, rule: StemFiles) -> DoneSong | None:
    """Return what a folder says of its song; None if that is not this request, or not all there."""
    try:
        done = DoneSong(**json.loads((folder / DONE_NAME).read_text(encoding="utf-8")))
        is_whole = all((folder / name).stat().st_size == size for name, size in done.sizes_bytes.items())
    except (OSError, ValueError, TypeError):
        return None
    is_same = done.request_id == request_id and done.stem_files == asdict(rule)
    return done if is_whole and is_same else None


def write_done(
    files: Iterable[Path], request_id: str, rule: StemFiles, job_id: str, marks: int, verdict: str
) -> None:
    """Say in the folder of a song's results that it is done."""
    paths = list(files)
    sizes = {path.name: path.stat().st_size for path in paths}
    done = DoneSong(request_id, asdict(rule), sizes, job_id, marks, verdict)
    place = paths[0].with_name(DONE_NAME)
    partial = place.with_name(f"{DONE_NAME}.tmp")
    partial.write_text(json.dumps(asdict(done)), encoding="utf-8")
    os.replace(partial, place)
