"""BSS Eval v4 by `museval`, the campaign's own code, for those who want exactly its rules.

`import museval` imports musdb and stempeg, which refuse to load without the programs ffmpeg and ffprobe (on
Debian and Ubuntu: `apt install ffmpeg`). Its metrics need neither, so they are loaded as the single file that
they are.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from ugosa_research.evaluation.bss_eval import FILTER_LENGTH, Array, BssScores
from ugosa_server.errors import ConfigError


@cache
def museval_metrics() -> ModuleType:
    """The module `museval.metrics`, loaded without the package around it.

    Raises:
        ConfigError: museval is not installed.
    """
    package = importlib.util.find_spec("museval")
    if package is None or package.origin is None:
        raise ConfigError("museval is not installed; `pip install 'ugosa-research[eval]'` brings it")
    spec = importlib.util.spec_from_file_location(
        "museval_metrics", Path(package.origin).parent / "metrics.py"
    )
    if spec is None or spec.loader is None:
        raise ConfigError(f"museval at {package.origin} has no metrics.py; install museval 0.4")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def score_with_museval(
    images: Array, estimates: Array, window: int, hop: int, filter_length: int = FILTER_LENGTH
) -> BssScores:
    """Judge estimates `[S, T, C]` of true images; NaN in windows where any source or estimate is silent."""
    sdr, isr, sir, sar, _ = museval_metrics().bss_eval(
        images, estimates, window=window, hop=hop, filters_len=filter_length
    )
    return BssScores(sdr=sdr, isr=isr, sir=sir, sar=sar)
