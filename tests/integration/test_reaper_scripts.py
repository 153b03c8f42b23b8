"""The REAPER scripts: their specs on every Lua, luacheck, ReaPack's index, one grammar in two languages."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.marks import words
from ugosa_client.marks.labels import is_meant_as_mark, parse_label
from ugosa_client.marks.words import ALIASES

Reading = dict[str, str] | list[str | bool]
"""States of sources; or why there are none, and whether a mark was meant."""

SCRIPTS = Path(__file__).parents[2] / "clients" / "reaper"
SOURCES = ("drums", "bass", "other", "vocals")
LABELS = [
    *("vocals", "Vox", "LEAD VOCALS", "no vocals", "-vocals", "!drums", "without kit", "not the", "no_bass"),
    *("only drums", "only drums, bass", "only drums, -bass", "only drums & bass", "only-vocals", "ONLY Vox"),
    *("drums, -bass", "no bass and drums", "no vocals, drums", "-vocals, drums", "drums, no vocals, no bass"),
    *("drums/bass", "drums+bass", "drums or bass", "rest", "everything else", "no  others", "bass guitar"),
    *("e-bass", "sub_bass", "", " , ", "drums, -drums", "only drums, -drums", "verse", "no vocls", "nobody"),
    *(
        "nope",
        "no",
        "-",
        "only",
        "bas",
        "basss",
        "percussion, singer",
        "no drums or bass, vocals",
        "no/vocals",
    ),
]
ROOT = SCRIPTS.parents[1]
SIX_SOURCES = (*SOURCES, "guitar", "piano")  # of htdemucs_6s, whose weights are not shipped


def shipped_sources() -> dict[str, tuple[str, ...]]:
    """The names that marks can use, of each model that lies in the repository beside its card."""
    found = {"htdemucs_6s": SIX_SOURCES}
    cards = ROOT.glob("[!.]*/**/MODEL_CARD.md")
    for path in (path for card in cards for path in card.parent.glob("*.safetensors")):
        with path.open("rb") as file:
            (n_bytes,) = struct.unpack("<Q", file.read(8))
            words = json.loads(file.read(n_bytes))["__metadata__"]
        if "config" not in words:
            continue  # a part of a model, such as the decoder of `band`
        config = json.loads(words["config"])
        found[path.stem] = tuple(config.get("sources") or [*config["instruments"], "residual"])
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, timeout=200)


def require(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")
    return path


@pytest.mark.parametrize("lua", ["lua5.3", "lua5.4"])
def test_the_specs_pass(lua: str) -> None:
    busted = require("busted", "lua-busted")
    specs = run(busted, f"--lua={require(lua, lua)}", "--output=plainTerminal")
    assert specs.returncode == 0, specs.stdout + specs.stderr
    assert re.search(r"[1-9]\d* successes / 0 failures / 0 errors / 0 pending", specs.stdout)


def test_luacheck_has_nothing_to_say() -> None:
    check = run(require("luacheck", "lua-check"), "--no-color", "-q", ".")
    assert check.returncode == 0, check.stdout


def read_in_lua(lua: str, cases: Sequence[tuple[str, Sequence[str]]], folder: Path) -> list[Reading]:
    """Return Lua's reading of labels, each with the sources of its model."""
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    program = """
        package.path = "./?.lua;" .. package.path
        local json, labels = require("ugosa.json"), require("ugosa.labels")
        local results = {}
        for index, case in ipairs(json.decode(io.open(arg[1], "rb"):read("a"))) do
            local states, message = labels.parse(table.unpack(case))
            results[index] = states or { message, labels.is_meant_as_mark(table.unpack(case)) }
        end
        print(json.encode(results))
    """
    (folder / "read.lua").write_text(program, encoding="utf-8")
    read = run(require(lua, lua), str(folder / "read.lua"), str(folder / "cases.json"))
    assert read.returncode == 0, read.stderr
    readings: list[Reading] = json.loads(read.stdout)
    return readings


@pytest.mark.parametrize("lua", ["lua5.3", "lua5.4"])
def test_lua_and_python_read_region_names_alike(lua: str, tmp_path: Path) -> None:
    cases = [(label, SOURCES) for label in LABELS]
    assert read_in_lua(lua, cases, tmp_path) == [in_python(*case) for case in cases]


@pytest.mark.parametrize("lua", ["lua5.3", "lua5.4"])
def test_lua_knows_every_name_of_every_shipped_model(lua: str, tmp_path: Path) -> None:
    models = shipped_sources()
    assert {"starter", "cunet-film", "htdemucs_6s"} <= models.keys()
    names = [*ALIASES, *(alias for aliases in ALIASES.values() for alias in aliases)]
    cases = [(form.format(name), s) for s in models.values() for name in names for form in ("{}", "no {}")]
    readings = read_in_lua(lua, cases, tmp_path)
    assert dict(zip(cases, readings, strict=True)) == {case: in_python(*case) for case in cases}
    for label in ("string bass", "vln", "no sax", "no vc", "no french horn"):
        assert isinstance(readings[cases.index((label, models["cunet-film"]))], dict), label


MODELS = tuple(shipped_sources().values())
WORDS = sorted(
    {*words.SILENT_BEFORE, *words.SILENT_AFTER, *words.ONLY_BEFORE, *words.ONLY_AFTER, *words.PHRASES}
    | {"-", "!", "W/O", "and", "or", "&", "+", "/", ",", ", ", "Solo", "verse", "vocls", "durm", "Hit", "the"}
    | {*ALIASES, *(alias.upper() for aliases in ALIASES.values() for alias in aliases)}
)
TEXTS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(" _-,") | st.just("")), max_size=8).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@pytest.mark.parametrize("lua", ["lua5.3", "lua5.4"])
@given(cases=st.lists(st.tuples(TEXTS, st.sampled_from(MODELS)), min_size=20, max_size=60))
def test_lua_and_python_agree_on_any_words(
    lua: str, cases: list[tuple[str, tuple[str, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    readings = read_in_lua(lua, cases, tmp_path_factory.getbasetemp())
    for case, reading in zip(cases, readings, strict=True):
        assert reading == in_python(*case), case


def in_python(label: str, sources: Sequence[str]) -> Reading:
    try:
        return {source: str(state) for source, state in parse_label(label, sources).items()}
    except ValueError as error:
        return [str(error), is_meant_as_mark(label, sources)]


def test_the_index_is_what_the_headers_say() -> None:
    before = (SCRIPTS / "index.xml").read_bytes()
    made = subprocess.run(
        [sys.executable, "-c", "import make_index; print(make_index.make_index(), end='')"],
        cwd=SCRIPTS,
        capture_output=True,
        check=True,
    )
    assert made.stdout == before, "run `python clients/reaper/make_index.py`"


def test_the_index_has_what_reapack_needs() -> None:
    index = ElementTree.parse(SCRIPTS / "index.xml").getroot()
    assert (index.tag, index.get("version")) == ("index", "1")
    (category,) = index.findall("category")
    (package,) = category.findall("reapack")
    assert (package.get("type"), package.get("name")) == ("script", "UGOSA_Separate with marks.lua")
    (version,) = package.findall("version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.get("name", ""))
    sources = version.findall("source")
    listed = {unquote(source.text or "") for source in sources}
    assert listed == {
        path.relative_to(SCRIPTS).as_posix()
        for path in [*SCRIPTS.glob("*.lua"), *SCRIPTS.glob("ugosa/*.lua")]
    }
    for source in sources:
        assert source.get("file", package.get("name")) == unquote(source.text or "")
        is_module = unquote(source.text or "").startswith("ugosa/")
        assert not (is_module and source.get("main")), "a module is no action"


def test_an_address_can_be_given_to_the_index() -> None:
    program = "import make_index; print(make_index.make_index('https://a.example/b/'), end='')"
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    texts = [source.text or "" for source in ElementTree.fromstring(made.stdout.encode()).iter("source")]
    assert "https://a.example/b/UGOSA_Setup.lua" in texts
    assert all(text.startswith("https://a.example/b/") and " " not in text for text in texts)
