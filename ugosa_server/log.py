"""Log of a process: lines for people, or one JSON object a line for machines.

    {"time": "2026-01-02T03:04:05.678Z", "level": "INFO", "logger": "ugosa_server.scheduling",
     "message": "job job-3f9c0a1b52e7d846: succeeded", "job_id": "job-3f9c0a1b52e7d846",
     "principal": "anna", "song": "Verse.wav", "state": "succeeded", "seconds": 41.2}

Ids are made by the server and look like nothing else, so they are found in the message itself; no call
has to name its job a second time.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Literal

LogFormat = Literal["plain", "json"]

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FIELDS = ("principal", "song", "state", "seconds")
"""Further fields of a line, which a call gives in `extra`."""
ID_PATTERN = re.compile(r"\b(job|upload)-[0-9a-f]{16}\b")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `job_id` and `upload_id` where the message names one, and `FIELDS`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = record.getMessage()
        fields: dict[str, str | float] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        for found in ID_PATTERN.finditer(message):
            fields.setdefault(f"{found[1]}_id", found[0])
        fields |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def start_logging(level: str, log_format: LogFormat) -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(PLAIN))
    logging.basicConfig(level=level, handlers=[handler])
