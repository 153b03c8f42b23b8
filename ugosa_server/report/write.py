"""Writes the report beside the stems: complete files or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ugosa_server.durable_files import replacing
from ugosa_server.report.data import JobReport, Preview
from ugosa_server.report.html_report import html_report
from ugosa_server.report.json_report import json_report
from ugosa_server.report.waveform import Waveform

JSON_NAME = "report.json"
HTML_NAME = "report.html"


def write_report(
    report: JobReport, preview: Preview, mix: Waveform, stems: Sequence[Waveform], out_dir: Path
) -> tuple[str, str]:
    """Write `report.json` and `report.html`, durably, and return their names.

    Args:
        report: what is told.
        preview: what can be listened to.
        mix: the song's waveform.
        stems: their waveforms, in the report's order.
        out_dir: where to write; files of an earlier report are replaced.
    """
    for name, text in (
        (JSON_NAME, json_report(report)),
        (HTML_NAME, html_report(report, preview, mix, stems)),
    ):
        with replacing(out_dir / name) as file:
            file.write(text.encode())
    return JSON_NAME, HTML_NAME
