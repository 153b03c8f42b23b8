"""The page of a report beside stems: it is told the names of the files that it plays."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

STEMS = "stems"
"""The job's own stems, among the takes of `name_files`."""
FILES = re.compile(rb'(<script id="files" type="application/json">)[^<]*')


def name_files(page: Path, takes: Mapping[str, Mapping[str, str]]) -> None:
    """Write the files beside a page into it, whole or not at all.

    Args:
        page: the page as the server gives it, or as this function left it.
        takes: relative path of each stem by its source, by take: `STEMS`, "base" and "marked".
    """
    names = json.dumps(takes).replace("<", "\\u003c").encode()
    text = FILES.sub(lambda found: found[1] + names, page.read_bytes(), count=1)
    partial = page.with_name(page.name + ".tmp")
    partial.write_bytes(text)
    os.replace(partial, page)
