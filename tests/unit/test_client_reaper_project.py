"""REAPER projects as songs: the item's file, and regions and lanes in its time."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.errors import BadInputError
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.file import read_marks, read_regions, write_regions
from ugosa_client.marks.findings import Severity
from ugosa_client.marks.reaper_project import project_song, regions_outside_song, write
from ugosa_client.marks.regions import named_regions, regions_of_marks
from ugosa_client.resources import Mark, MarkState
from ugosa_client.separate import take_project

SOURCES = ("drums", "bass", "other", "vocals")
RATE = 44100
ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT


def item(file="my song.wav", position=10, length=20, soffs=5, extra="", source="WAVE", sel=0):
    return (
        f"    <ITEM\n      POSITION {position}\n      LENGTH {length}\n      SEL {sel}\n"
        '      NAME "my song"\n'
        f"      SOFFS {soffs}\n      PLAYRATE 1 1 0 -1 0 0.0025\n      CHANMODE 0\n{extra}"
        f'      <SOURCE {source}\n        FILE "{file}"\n      >\n    >\n'
    )


def project(*items, markers="", lanes=""):
    return (
        '<REAPER_PROJECT 0.1 "7.0/linux-x86_64" 1700000000\n  RIPPLE 0\n'
        '  <NOTES 0 2\n    |it\'s "here"\n  >\n'
        f"{markers}  <TRACK {{GUID}}\n    NAME Mix\n{''.join(items)}  >\n{lanes}>\n"
    ).replace("\n", "\r\n")


def region(number, start, end, name):
    return f'  MARKER {number} {start} {name} 1 0 1 R {{GUID}} 0\n  MARKER {number} {end} "" 1\n'


def written(tmp_path, text):
    path = tmp_path / "käse.RPP"
    path.write_bytes(text.encode())
    return path


def test_regions_come_in_time_of_the_songs_file(tmp_path):
    markers = "  MARKER 1 12 Verse 0\n" + region(2, 11, 12.5, '"no vocals"')
    path = written(tmp_path, project(item(), markers=markers))
    assert read_marks(path, SOURCES, RATE, 60 * RATE) == (
        Mark("vocals", SILENT, 6 * RATE, round(7.5 * RATE)),
    )


def test_a_byte_of_latin_1_in_a_project_is_read(tmp_path):
    path = tmp_path / "old.rpp"
    text = project(item(), markers=region(1, 10, 11, '"no vocals"') + region(2, 11, 12, '"Caf\xe9"'))
    path.write_bytes(text.encode("latin-1"))
    marks, (info,) = examine_regions(read_regions(path), SOURCES, RATE, 60 * RATE)
    assert marks == (Mark("vocals", SILENT, 5 * RATE, 6 * RATE),)
    assert (info.code, info.region) == ("NOT_A_MARK", "Caf\xe9")


def test_a_guitar_section_is_left_out_with_the_model_that_has_it(tmp_path):
    path = written(tmp_path, project(item(), markers=region(1, 10, 11, "Guitar")))
    marks, (info,) = examine_regions(read_regions(path), SOURCES, RATE, 60 * RATE)
    assert (marks, info.severity) == ((), Severity.INFO)
    assert "this model has guitar inside 'other'; htdemucs_6s has its own" in info.text


def test_regions_are_cut_at_the_item_and_those_outside_are_told(tmp_path):
    markers = region(1, 9, 11, "drums") + region(2, 29, 40, "bass") + region(3, 40, 41, "vocals")
    text = project(item(), markers=markers)
    path = written(tmp_path, text)
    assert read_marks(path, SOURCES, RATE, 60 * RATE) == (
        Mark("drums", ACTIVE, 5 * RATE, 6 * RATE),
        Mark("bass", ACTIVE, 24 * RATE, 25 * RATE),
    )
    assert [outside.name for outside in regions_outside_song(text.encode())] == ["vocals"]


def test_a_track_lane_is_active_in_items_and_silent_between(tmp_path):
    lanes = "".join(
        f"  <TRACK\n    NAME {name}\n    <ITEM\n      POSITION 12\n      LENGTH 3\n    >\n  >\n"
        for name in ("Vox", "Notes")
    )
    path = written(tmp_path, project(item(), lanes=lanes))
    assert set(read_marks(path, SOURCES, RATE, 60 * RATE)) == {
        Mark("vocals", ACTIVE, 7 * RATE, 10 * RATE),
        Mark("vocals", SILENT, 5 * RATE, 7 * RATE),
        Mark("vocals", SILENT, 10 * RATE, 25 * RATE),
    }


def test_an_item_longer_than_its_file_adds_no_silence(tmp_path):
    """The musician never drew that silence, so nobody could shorten it."""
    lanes = "  <TRACK\n    NAME Vox\n    <ITEM\n      POSITION 12\n      LENGTH 3\n    >\n  >\n"
    path = written(tmp_path, project(item(), lanes=lanes))
    whole = read_marks(path, SOURCES, RATE, 60 * RATE)
    for frames, kept in ((24 * RATE, 3), (10 * RATE, 2)):
        cut = read_marks(path, SOURCES, RATE, frames)
        assert cut == tuple(
            replace(mark, end_frame=min(mark.end_frame, frames))
            for mark in whole
            if mark.start_frame < frames
        )
        assert len(cut) == kept


LANES = '  RULERLANE 1 4 "" 0 -1\n  RULERLANE 2 8 SECTIONS 0 -1 0\n  RULERLANE 3 0 "Lead Vox" 0 -1 0\n'


def in_lane(lane, number, start, end, name='""'):
    """A region as REAPER 7.62 writes it."""
    return region(number, start, end, name).replace("{GUID} 0", f"{{GUID}} 0 {lane}")


def test_a_ruler_lane_is_active_in_regions_and_silent_between(tmp_path):
    markers = (
        in_lane(2, 1, 10, 30, '"Verse 1"')  # a section; it says nothing of an instrument
        + in_lane(3, 2, 12, 15)
        + in_lane(3, 3, 20, 22, "Chorus")
        + in_lane(2, 4, 11, 12, "-bass")
        + in_lane(3, 5, 28, 29, '"no drums"')  # what a region says itself comes before its lane
    )
    path = written(tmp_path, project(item(), markers=LANES + markers))
    assert set(read_marks(path, SOURCES, RATE, 60 * RATE)) == {
        Mark("vocals", ACTIVE, 7 * RATE, 10 * RATE),
        Mark("vocals", ACTIVE, 15 * RATE, 17 * RATE),
        Mark("vocals", SILENT, 5 * RATE, 7 * RATE),
        Mark("vocals", SILENT, 10 * RATE, 15 * RATE),
        Mark("vocals", SILENT, 17 * RATE, 25 * RATE),
        Mark("bass", SILENT, 6 * RATE, 7 * RATE),
        Mark("drums", SILENT, 23 * RATE, 24 * RATE),
    }


def test_a_lane_or_track_outside_of_the_item_says_nothing(tmp_path):
    track = "  <TRACK\n    NAME Vox\n    <ITEM\n      POSITION 40\n      LENGTH 3\n    >\n  >\n"
    for elsewhere in ({"markers": LANES + in_lane(3, 1, 40, 41)}, {"lanes": track}):
        path = written(tmp_path, project(item(), **elsewhere))
        assert read_marks(path, SOURCES, RATE, 60 * RATE) == ()


def test_lanes_become_names_where_a_format_has_none(tmp_path):
    markers = LANES + in_lane(2, 1, 10, 30, '"Verse 1"') + in_lane(3, 2, 12, 15)
    lanes = "  <TRACK\n    NAME Notes\n    <ITEM\n      POSITION 12\n      LENGTH 3\n    >\n  >\n"
    regions = list(
        named_regions(read_regions(written(tmp_path, project(item(), markers=markers, lanes=lanes))))
    )
    assert sorted(found.name for found in regions) == [
        "Lead Vox",
        "Verse 1",
        "no Lead Vox",
        "no Lead Vox",
    ]


def test_sections_of_a_song_are_told_and_no_error_but_slips_are(tmp_path):
    markers = region(1, 10, 14, '"Verse 1"') + region(2, 11, 12, "Drms")
    _, findings = examine_regions(
        read_regions(written(tmp_path, project(item(), markers=markers))), SOURCES, RATE, 60 * RATE
    )
    assert [(finding.code, finding.severity) for finding in findings] == [
        ("NOT_A_MARK", Severity.INFO),
        ("UNKNOWN_SOURCE", Severity.ERROR),
    ]
    for name in ('"no kazoo"', '"only kazoo"'):
        path = written(tmp_path, project(item(), markers=region(1, 10, 14, name)))
        with pytest.raises(BadInputError, match="unknown source 'kazoo'"):
            read_marks(path, SOURCES, RATE, 60 * RATE)


def test_suggestions_and_findings_of_the_scripts_are_no_marks(tmp_path):
    markers = region(1, 11, 12, '"no vocals 87% ?"') + region(2, 11, 12, '"UGOSA: error - mend it"')
    path = written(tmp_path, project(item(), markers=markers + region(3, 11, 12, "drums")))
    assert [mark.source for mark in read_marks(path, SOURCES, RATE, 60 * RATE)] == ["drums"]


def test_a_project_without_audio_counts_from_its_start(tmp_path):
    path = written(tmp_path, project(markers=region(1, 0.5, 1.25, '`no "vox"`')))
    assert [found.name for found in read_regions(path)] == ['no "vox"']


def test_the_song_is_found_beside_the_project(tmp_path):
    (tmp_path / "my song.wav").touch()
    path = written(tmp_path, project(item()))
    assert project_song(path) == tmp_path / "my song.wav"
    assert take_project(path, ()) == (tmp_path / "my song.wav", path)
    assert take_project(str(path), "own.txt") == (tmp_path / "my song.wav", "own.txt")
    assert take_project("song.wav", ()) == ("song.wav", ())


def test_a_windows_path_is_found_by_its_name(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "my song.wav").touch()
    assert project_song(written(tmp_path, project(item("audio\\my song.wav")))).name == "my song.wav"


def test_of_several_items_the_selected_one_is_the_song(tmp_path):
    (tmp_path / "b.wav").touch()
    assert project_song(written(tmp_path, project(item("a.wav"), item("b.wav", sel=1)))).name == "b.wav"


def test_the_active_take_counts(tmp_path):
    (tmp_path / "b.wav").touch()
    take = (
        "      TAKE SEL\n      NAME two\n      SOFFS 1\n      PLAYRATE 1\n      CHANMODE 0\n"
        '      <SOURCE FLAC\n        FILE "b.wav"\n      >\n    >\n'
    )
    text = project(item("a.wav")[: -len("    >\n")] + take, markers=region(1, 11, 12, "drums"))
    path = written(tmp_path, text)
    assert project_song(path).name == "b.wav"
    assert read_marks(path, SOURCES, RATE, 60 * RATE)[0].start_frame == 2 * RATE


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no audio item"),
        ([item("a.wav"), item("b.wav")], r"2 audio items .*select the song's item"),
        ([item(extra="      SM 1 1\n")], "stretch markers; glue it"),
        ([item(source="SECTION")], "section"),
        ([item().replace("PLAYRATE 1 ", "PLAYRATE 1.5 ")], "play rate"),
        ([item().replace("PLAYRATE 1 1 0", "PLAYRATE 1 1 -2")], "its pitch is changed; glue it"),
        ([item(extra="      <PITCHENV\n        PT 0 2 0\n      >\n")], "its pitch is changed"),
        ([item().replace("CHANMODE 0", "CHANMODE 2")], "only some channels"),
        ([item("gone.wav")], "gone.wav is not there"),
        ([item(source="MIDI")], "no audio item"),
    ],
)
def test_a_project_that_changes_its_song_is_refused(tmp_path, items, message):
    with pytest.raises(BadInputError, match=message):
        take_project(written(tmp_path, project(*items)), ())


def test_regions_are_added_to_a_project_where_its_item_is(tmp_path):
    marks = [Mark("vocals", SILENT, 6 * RATE, 7 * RATE + 1)]
    path = written(tmp_path, project(item(), markers=region(4, 11, 12, "drums")))
    write_regions(tmp_path / "with.rpp", regions_of_marks(marks), RATE, into=path)
    assert set(read_marks(tmp_path / "with.rpp", SOURCES, RATE, 60 * RATE)) == {
        Mark("drums", ACTIVE, 6 * RATE, 7 * RATE),
        *marks,
    }
    added = (tmp_path / "with.rpp").read_bytes()
    assert b"MARKER 5 11.00000000000000" in added
    assert added.count(b"\r\n") == added.count(b"\n")
    assert b"|it's" in added


def test_a_song_is_found_in_another_unicode_form_of_its_name(tmp_path):
    (tmp_path / "Audio").mkdir()
    song = tmp_path / "Audio" / "M\u00fcsli.WAV"
    song.write_bytes(b"x")
    assert (
        project_song(written(tmp_path, project(item(r"Audio\Mu\u0308sli.wav".replace(r"\u0308", "\u0308")))))
        == song
    )


LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).map(lambda text: text.encode())
    | st.binary().map(lambda data: re.sub(rb"[\r\n]", b"", data)),
    max_size=4,
)


@given(note=LINES, end=st.sampled_from([b"\r\n", b"\n", b"\r"]), has_marker=st.booleans(), bom=st.booleans())
def test_a_project_keeps_every_byte_when_marks_are_added(note, end, has_marker, bom):
    marker = [b"  MARKER 4 1 a 1", b"  MARKER 4 2 '' 1"] if has_marker else []
    notes = [b"  <NOTES 0 2", *(b"    |" + line for line in note), b"  >"]
    lines = [b"<REAPER_PROJECT 0.1", *notes, *marker, b"  <TRACK", b"  >", *notes, b">"]
    before = (b"\xef\xbb\xbf" if bom else b"") + end.join(lines)  # the last line may lack its end
    regions = regions_of_marks([Mark("vocals", SILENT, RATE, 2 * RATE)])
    after = write(regions, RATE, before)
    number = 5 if has_marker else 1
    added = [
        b'  MARKER %d 1.00000000000000 "no vocals" 1' % number,
        b'  MARKER %d 2.00000000000000 "" 1' % number,
    ]
    assert after.count(end.join([*added, b""])) == 1
    assert after.replace(end.join([*added, b""]), b"") == before


def test_a_project_that_is_cut_off_is_refused_with_the_line(tmp_path):
    with pytest.raises(BadInputError, match="line 1: <REAPER_PROJECT is never closed"):
        read_regions(written(tmp_path, project(item()).removesuffix(">\r\n")))
