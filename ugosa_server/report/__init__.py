"""The report of a job: `report.json` for programs, `report.html` for people.

The worker fills a `JobReport` and a `Listening` with its measurements and calls `write_report`. Nothing here
imports torch, and nothing here measures but `WaveformMeter`, which bins samples for a drawing.
"""

from ugosa_server.report.data import JobReport, Listening, StemReport, TakeKind
from ugosa_server.report.write import write_report

__all__ = ["JobReport", "Listening", "StemReport", "TakeKind", "write_report"]
