"""Stems enter an Ardour session's file, and what is no such session is told so."""

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ugosa_client import Mark, MarkState, Notice
from ugosa_client.errors import BadInputError

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "ardour"))
from ugosa_ardour.__main__ import LuaReporter
from ugosa_ardour.request import Range, marks_of
from ugosa_ardour.session_file import add_stems

SESSION = """<?xml version="1.0"?>
<Session name="New name" id-counter="20"><Sources/><Regions>
    <!-- none yet --></Regions>
<Playlists><Playlist><Region name="Song" id="7" source-0="3" start="a0"/></Playlist></Playlists></Session>"""


@pytest.fixture
def session(tmp_path):
    file = tmp_path / "session.ardour"
    file.write_text(SESSION)
    return file


@pytest.fixture
def stems(tmp_path):
    path = tmp_path / "bass.wav"
    soundfile.write(path, np.zeros((100, 2)), 44100)
    return {"bass": path}


@pytest.mark.parametrize(
    ("folders", "chosen"),
    [(["New name"], "New name"), (["Before", "New name", "Other"], "New name"), (["Before"], "Before")],
)
def test_audio_goes_where_the_session_of_this_name_keeps_it(session, stems, folders, chosen):
    for folder in folders:
        (session.parent / "interchange" / folder / "audiofiles").mkdir(parents=True)
    regions = add_stems(session, "7", stems)
    root = ET.parse(session).getroot()
    assert [region.get("id") for region in root.findall("Regions/Region")] == [regions["bass"]]
    written = [source.get("name") for source in root.findall("Sources/Source")]
    folder = session.parent / "interchange" / chosen / "audiofiles"
    assert len(written) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(written)


def test_the_rest_of_a_session_stays_byte_for_byte(session, stems):
    (session.parent / "interchange" / "New name" / "audiofiles").mkdir(parents=True)
    add_stems(session, "7", stems)
    after = re.sub(r"<Sources><Source .*</Sources>", "<Sources/>", session.read_text())
    after = re.sub(r"(none yet -->)<Region .*/>(</Regions>)", r"\1\2", after)
    assert after.replace('id-counter="23"', 'id-counter="20"') == SESSION


def test_range_markers_that_are_no_marks_are_left_out():
    ranges = [Range("Verse 1", 0, 10), Range("no vocals", 10, 20)]
    sources = ("drums", "vocals")
    marks, left_out = marks_of([*ranges, Range("no drums 87% ?", 0, 10)], sources)
    assert marks == [Mark("vocals", MarkState.SILENT, 10, 20)]
    assert "'Verse 1' names no instrument" in left_out[0]
    assert "'no drums 87% ?' is a suggestion" in left_out[1]
    with pytest.raises(BadInputError, match=r"range marker 'no vocls': .* did you mean 'vocals'"):
        marks_of([Range("no vocls", 0, 10)], sources)


def test_a_session_without_audio_folders_is_left_alone(session, stems):
    with pytest.raises(BadInputError, match="interchange"):
        add_stems(session, "7", stems)
    assert session.read_text() == SESSION


def test_a_region_that_is_not_there_is_named(session, stems):
    with pytest.raises(BadInputError, match="no region 99"):
        add_stems(session, "99", stems)


def test_warnings_of_a_job_are_notes_for_the_window(capsys):
    warning = Notice(
        "j", 2, 1, None, reason="SILENT_BUT_HEARD", message="the model hears vocals", warning=True
    )
    reporter = LuaReporter()
    reporter.happened(warning)
    reporter.happened(replace(warning, warning=False))
    assert capsys.readouterr().out == "note\tthe model hears vocals\n"
