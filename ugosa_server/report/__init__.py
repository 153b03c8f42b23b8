"""What a job tells about its result: `report.json` for programs, `report.html` for people.

The worker fills a `JobReport` and a `Preview` (`data.py`) with what it measured and calls `write_report`
(`write.py`). Nothing here imports torch, and nothing here measures: levels and losses come in as numbers;
waveforms come in as what is drawn (`waveform.py`), excerpts as what is played (`excerpt_audio.py`).
"""

from ugosa_server.report.data import EpochLoss, JobReport, OptionValue, Preview, StemReport
from ugosa_server.report.write import write_report

__all__ = ["EpochLoss", "JobReport", "OptionValue", "Preview", "StemReport", "write_report"]
