"""Marks files are read as the musician meant them, or refused with the line and the way out."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ugosa_client.errors import MarksFileError
from ugosa_client.marks import audacity
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.file import read_marks, read_regions, write_regions
from ugosa_client.marks.findings import Severity
from ugosa_client.marks.regions import LONGEST_SONG_S, Position, parse_time, regions_of_marks
from ugosa_client.resources import Mark, MarkState

SOURCES = ("drums", "bass", "other", "vocals")
RATE = 44100
ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT


def read(tmp_path, text, frames=10 * RATE, rate=RATE, encoding="utf-8"):
    path = tmp_path / "käse marks.txt"
    path.write_bytes(text.encode(encoding))
    return read_marks(path, SOURCES, rate, frames)


def test_audacity_labels_are_read(tmp_path):
    assert read(tmp_path, "0.500000\t1.250000\tno vocals\n2.0\t3.0\tdrums\n") == (
        Mark("vocals", SILENT, 22050, 55125),
        Mark("drums", ACTIVE, 88200, 132300),
    )


def test_spectral_ranges_of_audacity_are_ignored(tmp_path):
    text = "0.5\t1.25\tno vocals\n\\\t100.0\t2000.0\n2\t3\tbass\n"
    assert [mark.source for mark in read(tmp_path, text)] == ["vocals", "bass"]


def test_windows_line_ends_and_byte_order_marks_are_forgiven(tmp_path):
    expected = (Mark("vocals", SILENT, 22050, 55125),)
    assert read(tmp_path, "\ufeff0.5\t1.25\tno vocals\r\n") == expected
    assert read(tmp_path, "0.5\t1.25\tno vocals\r\n", encoding="utf-16") == expected
    assert (
        read(tmp_path, "\ufeff#,Name,Start,End,Length\r\nR1,no vocals,0:00.500,0:01.250,0:00.750\r\n")
        == expected
    )


@pytest.mark.parametrize(
    "line",
    [
        "0,5\t1,25\tno vocals",
        "0:00.5\t0:01.25\tno vocals",
        "0:00,5\t0:01,25\tno vocals",
        "0:00.5 0:01.25 no vocals",
        "0:00.5-0:01.25 no vocals",
        "0,5 - 1,25\tno vocals",
        "0:00:00.5 \u2013 0:00:01.25 no vocals",
    ],
)
def test_times_are_read_as_people_write_them(tmp_path, line):
    assert read(tmp_path, line + "\n") == (Mark("vocals", SILENT, 22050, 55125),)


def test_a_time_that_is_none_is_named(tmp_path):
    with pytest.raises(MarksFileError, match=r"line 2: '1\.2\.3' is not a time such as 62.5 or 1:02.5"):
        read(tmp_path, "0\t1\tdrums\n1.2.3\t4\tno vocals\n")


@pytest.mark.parametrize(
    ("start", "end"),
    [("0:00.500", "0:01.250"), ("0:00:00.500", "0:00:01.250"), ("0.500", "1.250"), ("22050", "55125")],
)
def test_reaper_rulers_give_the_same_frames(tmp_path, start, end):
    text = f'#,Name,Start,End,Length,Color\nM1,verse,{start},,,\nR1,"no vocals",{start},{end},x,FF0000\n'
    assert read(tmp_path, text) == (Mark("vocals", SILENT, 22050, 55125),)


def test_a_reaper_list_in_quotes_stays_one_name(tmp_path):
    text = '#,Name,Start,End,Length\nR1,"-vocals, drums",0:01.000,0:02.000,0:01.000\n'
    assert set(read(tmp_path, text)) == {
        Mark("vocals", SILENT, 44100, 88200),
        Mark("drums", ACTIVE, 44100, 88200),
    }


@pytest.mark.parametrize(
    ("time", "way_out"),
    [
        ("5.1.00", "tempo map"),
        ("00:00:01:12", "frame rate"),
        ("-0:01.000", "starts at -0:01.0, before the song"),
        ("soon", "not a time"),
    ],
)
def test_reaper_times_of_unknown_scale_are_refused(tmp_path, time, way_out):
    with pytest.raises(MarksFileError, match=rf"käse marks.txt, line 2: .*{way_out}"):
        read(tmp_path, f"#,Name,Start,End,Length\nR1,no vocals,{time},0:02.000,x\n")


@pytest.mark.parametrize("other", ["M1,verse,0.500,,", "R9,drums,0:07.000,0:08.000,x", "R9,drums,7.0,8.0,x"])
def test_a_whole_number_of_seconds_is_told_by_the_other_rows(tmp_path, other):
    text = f"#,Name,Start,End,Length\nR1,no vocals,2,6,4\n{other}\n"
    assert read(tmp_path, text)[0] == Mark("vocals", SILENT, 2 * RATE, 6 * RATE)


@pytest.mark.parametrize(
    "text", ["#,Name,Start,End,Length\nR1,no vocals,2,6,4\n", "2,1,4,no vocals\n3,1,1,drums\n"]
)
def test_whole_numbers_that_could_be_samples_or_seconds_ask(tmp_path, text):
    with pytest.raises(MarksFileError, match=r"[46] are whole numbers: samples or seconds\? .* as [46]\.0"):
        read(tmp_path, text)


def test_sections_and_suggestions_of_a_reaper_list_are_left_out(tmp_path):
    rows = (
        "R1,Verse 1,0:00.000,0:04.000,x",
        "R2,no vocals,0:01.000,0:02.000,x",
        "R3,no drums 87% ?,-0:01.0,0:02.0,x",
    )
    path = tmp_path / "regions.csv"
    path.write_text("#,Name,Start,End,Length\n" + "\n".join(rows))
    marks, (info,) = examine_regions(read_regions(path), SOURCES, RATE, 10 * RATE)
    assert marks == (Mark("vocals", SILENT, RATE, 2 * RATE),)
    assert (info.code, info.severity, info.line) == ("NOT_A_MARK", Severity.INFO, 2)


@pytest.mark.parametrize("letter", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_end_at_line_ends_only(tmp_path, letter, ends):
    rows = {
        "audacity": ["0.5\t1.25\tno vocals", f"2\t3\tno{letter}bass"],
        "lab": ["0.5 1.25 no vocals", f"2 3 no{letter}bass"],
        "csv": ["#,Name,Start,End", "R1,no vocals,0.5,1.25", f"R2,no{letter}bass,2.0,3.0"],
        "rpp": [
            "<REAPER_PROJECT 0.1",
            f"  MARKER 1 0.5 'no{letter}vocals' 1",
            "  MARKER 1 1.25 '' 1",
            f"  MARKER 2 2 'no bass{letter}' 1",
            "  MARKER 2 3 '' 1",
            ">",
        ],
    }
    for lines in rows.values():
        assert read(tmp_path, ends.join([*lines, ""])) == (
            Mark("vocals", SILENT, 22050, 55125),
            Mark("bass", SILENT, 2 * RATE, 3 * RATE),
        )


def test_hours_count():
    assert parse_time("1:02:03.500").value == Fraction(3723.5)
    assert parse_time("62:03.500").value == Fraction(3723.5)


def test_halves_of_frames_round_up():
    at = [Position(Fraction(frame, 2 * RATE), Fraction(1, 10**6)).frame(RATE) for frame in (1, 3, 4)]
    assert at == [1, 2, 2]


def test_an_end_rounded_past_the_song_is_cut_off(tmp_path):
    frames = 44105  # 1.000113 s
    assert read(tmp_path, "0\t1.000114\tno vocals\n", frames)[0].end_frame == frames
    csv = "#,Name,Start,End,Length\nR1,no vocals,0:00.000,0:01.001,0:01.001\n"
    with pytest.raises(MarksFileError, match=r"ends at 0:01\.001, but the song ends at 0:01\.000"):
        read(tmp_path, csv, frames)  # 39 frames are more than half a millisecond
    assert read(tmp_path, csv, 44130)[0].end_frame == 44130


def test_a_region_past_the_song_is_refused_with_both_lengths(tmp_path):
    with pytest.raises(MarksFileError, match=r"line 1: .*at 0:01\.0001, but the song ends at 0:01\.0000;"):
        read(tmp_path, "0\t1.00006\tno vocals\n", 44100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.0\t1.0\tno vocals\n", "line 1: .*is a point"),
        ("2.0\t1.0\tno vocals\n", "line 1: .*reversed"),
        ("0\t1\tdrums\n0\t1\tno vocls\n", r"line 2: unknown source 'vocls'; did you mean 'vocals'\?"),
        ("0\t1\t\n", "line 1: the region has no name"),
        ("0\t1\tdrums\nhello\n", "line 2: 'hello' is no label"),
        ("0\t2\tvocals\n\n1\t3\tonly drums\n", "line 3: vocals is silent here, but line 1 says active"),
        ("hello world\n", "no marks file of a known format"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(MarksFileError, match=message):
        read(tmp_path, text)


def test_all_slips_of_a_file_are_listed_in_clock_times(tmp_path):
    text = "0\t1\tno vocls\n2\t48\tdrums\n3\t4\tbass\n3.5\t4.25\tno bass\n7\t6\tvocals\n-1\t1\tother\n"
    with pytest.raises(MarksFileError) as refused:
        read(tmp_path, text, frames=30 * RATE)
    first, *slips = str(refused.value).split("\n  ")
    assert first.endswith("käse marks.txt has 5 slips:")
    parts = [
        ("line 1: unknown source 'vocls'; did you mean 'vocals'? ", "rename it"),
        ("line 2: region 'drums' ends at 0:48.0, but the song ends at 0:30.0; ", "shorten it, if"),
        ("line 4: bass is silent here, but line 3 says active from 0:03.5 to 0:04.0; ", "shorten one"),
        ("line 5: 'vocals' is reversed or empty: it starts at 0:07.0 and ends at 0:06.0; ", "draw it"),
        ("line 6: region 'other' starts at -0:01.0, before the song; ", "move its start"),
    ]
    for slip, (what, way_out) in zip(slips, parts, strict=True):
        assert slip.startswith(what)
        assert way_out in slip


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "song.wav"
    for data, why in (
        (b"RIFF\xff\xfe\x00", "no text; is it the song"),
        (b"0\t1\tno \xfcber\n", "not text in UTF-8"),
    ):
        path.write_bytes(data)
        with pytest.raises(MarksFileError, match=why):
            read_marks(path, SOURCES, RATE, RATE)


def test_an_empty_file_marks_nothing(tmp_path):
    assert read(tmp_path, "\n") == ()


@st.composite
def songs_with_marks(draw):
    """A rate, a length, and marks of which no two of a source touch."""
    rate = draw(st.sampled_from((8000, 22050, 44100, 48000, 96000, 192000)))
    frames = draw(st.integers(2, 3 * 3600 * rate))
    marks = []
    for source in SOURCES:
        edges = sorted(draw(st.sets(st.integers(0, frames), max_size=8)))
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            marks.append(Mark(source, draw(st.sampled_from((ACTIVE, SILENT))), start, end))
    return rate, frames, marks


@given(songs_with_marks())
def test_written_marks_come_back_frame_for_frame(tmp_path_factory, song):
    rate, frames, marks = song
    path = tmp_path_factory.getbasetemp() / "round trip.txt"
    write_regions(path, regions_of_marks(marks), rate)
    assert set(read_marks(path, SOURCES, rate, frames)) == set(marks)


@given(songs_with_marks())
def test_reaper_sample_positions_come_back_frame_for_frame(tmp_path_factory, song):
    rate, frames, marks = song
    assume(not marks or max(mark.end_frame for mark in marks) > LONGEST_SONG_S)
    rows = [
        f"R1,{'no ' if mark.state is SILENT else ''}{mark.source},{mark.start_frame},{mark.end_frame},x"
        for mark in marks
    ]
    path = tmp_path_factory.getbasetemp() / "round trip.csv"
    path.write_text("\n".join(["#,Name,Start,End,Length", *rows]))
    assert set(read_marks(path, SOURCES, rate, frames)) == set(marks)


@given(songs_with_marks())
def test_labels_can_be_parsed_line_by_line(song):
    rate, _, marks = song
    text = audacity.write(regions_of_marks(marks), rate)
    assert len(audacity.parse(text)) == len(text.splitlines()) == len(marks)
