"""demucs 2.0.3, the last release with ConvTasNet, in a throw-away environment: a peer, never a dependency."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SIDE = Path(__file__).parent / "network_side.py"


def make_environment(home: Path, *requirement: str) -> Path:
    """Install a package without its dependencies; torch and this repository come from here.

    Args:
        home: where the environment goes.
        requirement: what pip installs, with options; none = demucs from its sdist.

    Returns:
        The environment's Python.
    """
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    requirement = requirement or ("--no-binary", "demucs", "demucs==2.0.3")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", *requirement], check=True)
    site = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    paths = (sysconfig.get_path("purelib"), str(ROOT))
    (Path(site.strip()) / "from-outside.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    return python


class NetworkSide:
    """A process of `network_side.py`, or of another script that answers questions as it does."""

    def __init__(
        self, python: Path | str, name: str, threads: int, *arguments: str, script: Path = SIDE
    ) -> None:
        """Start it: "ours" or "peer"."""
        self._script = script
        self._process = subprocess.Popen(
            [str(python), str(script), name, str(threads), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Ask one thing and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._script.name} ended at {do!r} with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
