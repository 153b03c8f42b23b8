"""Writes the report beside the stems: `report.html`, and `report.json` for programs.

Files are complete or not there. `report.json` is strict JSON (RFC 8259) with a stable order.

JSON has no infinities. A level of minus infinity, which is digital silence, is the *string* "-inf", and a
loss that left the numbers is "inf" or "nan"; Python's `float()` reads all three. null means that there was
nothing to measure. Positions are integer frames at the source rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ugosa_server.files import replacing
from ugosa_server.report.data import JobReport, Listening
from ugosa_server.report.html import html_report
from ugosa_server.report.svg import Waveform

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields do not raise it."""


def json_report(report: JobReport) -> str:
    """Return the text of `report.json`, ending in a line break."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "job_id": report.job_id,
        "file_name": report.file_name,
        "server_version": report.server_version,
        "audio": {
            "sample_rate_hz": report.source.sample_rate_hz,
            "channels": report.source.channels,
            "frames": report.source.frames,
            "encoding": report.source.encoding,
        },
        "model": {
            "name": report.model_name,
            "architecture": report.model_architecture,
            "sha256": report.model_sha256,
        },
        "adaptation": {
            "strategy": report.strategy,
            "trainable_parameters": report.trainable_parameters,
            "adapter_sha256": report.adapter_sha256,
            "verdict": None
            if report.verdict is None
            else {**asdict(report.verdict), "sentence": report.verdict.sentence},
            "epoch_losses": [
                {"epoch": epoch, **asdict(loss)} for epoch, loss in enumerate(report.epoch_losses, start=1)
            ],
        },
        "options": dict(report.options),
        "seed": report.seed,
        "device": report.device,
        "threads": report.threads,
        "timings_s": dict(report.timings_s),
        "null_peak_dbfs": report.null_peak_dbfs,
        "stem_encoding": report.stem_encoding,
        "stems": [asdict(stem) for stem in report.stems],
        "marks": [asdict(mark) for mark in report.marks],
        "notices": list(report.notices),
    }
    return json.dumps(_strict(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _strict(value: object) -> object:
    """Replace the floats that JSON does not know by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_strict(item) for item in value]
    return value


JSON_NAME = "report.json"
HTML_NAME = "report.html"


def write_report(
    report: JobReport, listening: Listening, mix: Waveform, stems: Sequence[Waveform], out_dir: Path
) -> tuple[str, str]:
    """Write `report.json` and `report.html`, durably, over earlier ones; return their names."""
    for name, text in (
        (JSON_NAME, json_report(report)),
        (HTML_NAME, html_report(report, listening, mix, stems)),
    ):
        with replacing(out_dir / name) as file:
            file.write(text.encode())
    return JSON_NAME, HTML_NAME
