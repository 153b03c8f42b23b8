"""Deezer's two-stem weights, where `make test` could fetch them."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("UGOSA_TEST_WEIGHTS", Path(__file__).parents[2] / ".venv" / "models"))
PATH = FOLDER / "spleeter-2stems.safetensors"

needs_spleeter = pytest.mark.skipif(
    not PATH.exists(),
    reason=f"no weights of Spleeter at {PATH}: neither the release nor the package index was reached",
)
