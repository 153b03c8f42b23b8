"""Compare protos/ with those of the newest release tag: an old client must understand a new server.

    python tools/check_breaking.py path/to/buf

Exits 0 when nothing breaks, or when there is no tag v* yet to compare with.
"""

import argparse
import subprocess
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path


def newest_tag(repository: Path) -> str | None:
    """Return the newest release tag that this history has."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def check(repository: Path, buf: Path) -> int:
    """Return buf's exit status."""
    tag = newest_tag(repository)
    if tag is None:
        print("no release tag v* yet: there is no wire contract to break")
        return 0
    archive = subprocess.run(
        ["git", "archive", tag, "protos"], cwd=repository, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as released:
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(released, filter="data")
        print(f"comparing protos/ with {tag}")
        return subprocess.run(
            [buf.resolve(), "breaking", "--against", Path(released) / "protos"],
            cwd=repository / "protos",
            check=False,
        ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("buf", type=Path)
    return check(Path(__file__).parents[1], parser.parse_args().buf)


if __name__ == "__main__":
    raise SystemExit(main())
