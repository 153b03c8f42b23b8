"""Write `index.xml`, by which ReaPack knows the scripts, from the headers of the scripts.

ReaPack downloads each file from the address in its <source>. Without --base-url these are relative to
index.xml; whoever publishes the folder says where:

    python make_index.py --base-url https://example.org/ugosa/reaper
"""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

FOLDER = Path(__file__).parent
REPOSITORY_NAME = "UGOSA"
CATEGORY = "Separation"
PACKAGE = "UGOSA_Separate with marks.lua"
HEADER = re.compile(r"^-- (?:@(\w+) ?|  )(.*)$")


def read_header(script: Path) -> dict[str, list[str]]:
    """Return the lines of each @tag of a script's header."""
    tags: dict[str, list[str]] = {}
    tag = ""
    for line in script.read_text(encoding="utf-8").splitlines():
        match = HEADER.match(line)
        if match is None:
            break
        if match[1]:
            tag = match[1]
            tags[tag] = [match[2]] if match[2] else []
        else:
            tags[tag].append(match[2].strip())
    return tags


def provided_files(header: dict[str, list[str]]) -> Iterator[tuple[str, bool]]:
    """Yield every file of the package and whether it is an action of its own."""
    for line in header["provides"]:
        match = re.fullmatch(r"\[(main|nomain)\] (.+)", line)
        if match is None:
            raise ValueError(f"@provides: {line!r} does not begin with [main] or [nomain]")
        paths = sorted(FOLDER.glob(match[2]))
        if not paths:
            raise ValueError(f"@provides: no file matches {match[2]!r}")
        for path in paths:
            yield path.relative_to(FOLDER).as_posix(), match[1] == "main"


def make_index(base_url: str = "") -> str:
    """Return the text of index.xml."""
    header = read_header(FOLDER / PACKAGE)
    index = ElementTree.Element("index", version="1", name=REPOSITORY_NAME)
    category = ElementTree.SubElement(index, "category", name=CATEGORY)
    (description,) = header["description"]
    package = ElementTree.SubElement(category, "reapack", name=PACKAGE, type="script", desc=description)
    (version_name,), (author,) = header["version"], header["author"]
    version = ElementTree.SubElement(package, "version", name=version_name, author=author)
    for name, is_main in provided_files(header):
        attributes = {"main": "main"} if is_main else {}
        if name != PACKAGE:
            attributes = {"file": name, **attributes}
        source = ElementTree.SubElement(version, "source", attributes)
        source.text = f"{base_url.rstrip('/')}/{quote(name)}" if base_url else quote(name)
    ElementTree.indent(index)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(index, encoding="unicode") + "\n"


def main() -> int:
    """Write or check index.xml."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", default="", metavar="URL", help="where the folder is published")
    arguments = parser.parse_args()
    (FOLDER / "index.xml").write_text(make_index(arguments.base_url), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
