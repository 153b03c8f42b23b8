"""The pages of the documentation: rows have a cell for each column, and links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("docs", "clients", "ops")
PAGES = [*ROOT.glob("*.md"), *(page for part in PARTS for page in (ROOT / part).rglob("*.md"))]
LINK = re.compile(r"\]\(([^()#\s]+)")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "node_modules" not in page.parts],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_has_whole_tables_and_live_links(page):
    text = page.read_text(encoding="utf-8")
    columns = 0
    for line in text.splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert bars == columns or not (bars and columns), line
        columns = bars
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
