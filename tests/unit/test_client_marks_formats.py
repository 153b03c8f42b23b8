"""Every format of marks gives back the frames that were written, or says how far off it may be."""

import contextlib
import gzip
import json
from fractions import Fraction
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.advice import Suggestion
from ugosa_client.errors import BadInputError, MarksFileError
from ugosa_client.marks import ableton, ardour, jams, lab, midi, reaper_csv, sonic_visualiser
from ugosa_client.marks.examination import examine_regions
from ugosa_client.marks.file import read_marks, read_regions, write_regions
from ugosa_client.marks.findings import Severity
from ugosa_client.marks.formats import FORMATS, format_named, format_of_bytes
from ugosa_client.marks.regions import regions_of_marks
from ugosa_client.marks.suggestions import is_suggestion, regions_of_suggestions
from ugosa_client.marks.xml_insertion import insert_children
from ugosa_client.resources import Mark, MarkState

SOURCES = ("drums", "bass", "other", "vocals")
RATES_HZ = (8000, 22050, 44100, 48000, 88200, 96000, 192000)
ACTIVE, SILENT = MarkState.ACTIVE, MarkState.SILENT
SESSION = b'<?xml version="1.0"?>\n<Session sample-rate="48000" id-counter="90"><Locations/></Session>'
NO_VOCALS = [Mark("vocals", SILENT, 22050, 55125)]


def live_set(events=(), bpm=120, master="MasterTrack"):
    points = "".join(f'<FloatEvent Id="{i}" Time="{t}" Value="{v}"/>' for i, (t, v) in enumerate(events))
    envelope = (
        '<AutomationEnvelopes><Envelopes><AutomationEnvelope><EnvelopeTarget><PointeeId Value="8"/>'
        f"</EnvelopeTarget><Automation><Events>{points}</Events></Automation></AutomationEnvelope></Envelopes>"
        "</AutomationEnvelopes>"
    )
    return gzip.compress(
        f'<?xml version="1.0" encoding="UTF-8"?><Ableton MajorVersion="5"><LiveSet><{master}>{envelope}'
        f'<DeviceChain><Mixer><Tempo><Manual Value="{bpm}"/><AutomationTarget Id="8"/></Tempo></Mixer>'
        f"</DeviceChain></{master}><Locators><Locators/></Locators></LiveSet></Ableton>".encode()
    )


TEMPO_CURVE = live_set([(-63072000, 93.5), (16, 93.5), (48, 140.25), (48, 71), (1000, 180)])
PROJECTS = {"ardour": SESSION, "ableton": TEMPO_CURVE}


@st.composite
def songs_with_marks(draw):
    """A rate, a length, and marks of which no two of a source touch."""
    rate = draw(st.sampled_from(RATES_HZ))
    frames = draw(st.integers(2, 3600 * rate))
    marks = []
    for source in SOURCES:
        edges = sorted(draw(st.sets(st.integers(0, frames), max_size=6)))
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            marks.append(Mark(source, draw(st.sampled_from((ACTIVE, SILENT))), start, end))
    return rate, frames, marks


@pytest.mark.parametrize("name", [known.name for known in FORMATS if known.name != "midi"])
@given(song=songs_with_marks())
def test_marks_come_back_frame_for_frame(tmp_path_factory, name, song):
    rate, frames, marks = song
    folder = tmp_path_factory.getbasetemp()
    path, project = folder / "round trip", folder / f"project of {name}"
    if name in PROJECTS:
        project.write_bytes(PROJECTS[name])
    write_regions(
        path, regions_of_marks(marks), rate, format_named(name), project if name in PROJECTS else None
    )
    assert set(read_marks(path, SOURCES, rate, frames)) == set(marks)


@given(songs_with_marks())
def test_midi_is_off_by_no_more_than_it_says(song):
    rate, frames, marks = song
    regions = regions_of_marks(marks)
    read = midi.parse(midi.write(regions, rate))

    def spans(regions):
        return sorted((r.name, r.start.seconds(rate), r.end.seconds(rate)) for r in regions)

    for (name, *written), (read_name, *got) in zip(spans(regions), spans(read), strict=True):
        assert read_name == name
        for before, after in zip(written, got, strict=True):
            shortest = written[1] - written[0] < 2 * midi.TOLERANCE_S
            assert abs(after - before) <= midi.TOLERANCE_S * (2 if shortest else 1)
    if rate <= 48000:
        path_marks = {
            (r.name, r.start.frame(rate), r.end.frame(rate)) for r in read if r.end.frame(rate) <= frames
        }
        assert path_marks == {(r.name, r.start.frame(rate), r.end.frame(rate)) for r in regions}


@pytest.mark.parametrize("name", [known.name for known in FORMATS if known.name not in PROJECTS])
def test_content_tells_the_format_whatever_the_file_is_called(name):
    data = format_named(name).write(regions_of_marks(NO_VOCALS), 44100, None)
    found = format_of_bytes(data)
    assert found is not None
    assert found.name == ("audacity" if name == "lab" else name)  # with tabs the two are the same


@pytest.mark.parametrize(
    ("file_name", "begins"),
    [
        ("a.txt", b"0.500000\t1.250000\tno vocals"),
        ("a.CSV", b"#,Name,Start,End,Length\r\nR1,no vocals,0:00.500000,0:01.250000,0:00.750000"),
        ("a.lab", b"0.5"),
        ("a.rpp", b"<REAPER_PROJECT"),
        ("a.mid", b"MThd"),
    ],
)
def test_the_suffix_chooses_what_is_written(tmp_path, file_name, begins):
    write_regions(tmp_path / file_name, regions_of_marks(NO_VOCALS), 44100)
    assert (tmp_path / file_name).read_bytes().startswith(begins)


def test_an_unknown_suffix_asks_for_a_format(tmp_path):
    with pytest.raises(BadInputError, match=r"a.xyz has no suffix .*--format"):
        write_regions(tmp_path / "a.xyz", regions_of_marks(NO_VOCALS), 44100)


@pytest.mark.parametrize("name", ["ardour", "ableton"])
def test_a_format_that_needs_a_project_asks_for_one(tmp_path, name):
    with pytest.raises(MarksFileError, match="--into"):
        write_regions(tmp_path / "a", regions_of_marks(NO_VOCALS), 44100, format_named(name))


def test_lab_takes_any_blanks():
    assert [region.name for region in lab.parse("0.5   1.25 no vocals\n2 3\tbass\n")] == [
        "no vocals",
        "bass",
    ]


def test_sonic_visualiser_in_frames_and_with_a_header():
    text = 'TIME,VALUE,DURATION,LABEL\n22050,1,33075,"no vocals, bass"\n'
    (region,) = sonic_visualiser.parse(text)
    assert (region.name, region.start.frame(44100), region.end.frame(44100)) == (
        "no vocals, bass",
        22050,
        55125,
    )


def test_jams_reads_tag_open_and_names_other_namespaces():
    row = {"time": 0.5, "duration": 0.75, "value": "no vocals", "confidence": 1.0}
    document = {
        "annotations": [{"namespace": "tag_open", "data": [row]}, {"namespace": "beat", "data": [{}]}]
    }
    (region,) = jams.parse(json.dumps(document))
    assert (region.start.frame(44100), region.end.frame(44100)) == (22050, 55125)
    with pytest.raises(ValueError, match="no annotation of namespace 'tag_open', but beat"):
        jams.parse(json.dumps({"annotations": [{"namespace": "beat", "data": []}]}))


def test_ardour_ranges_are_read_and_its_own_ranges_left_alone():
    ranges = (
        '<Location name="no vocals" start="a141120000" end="a352800000" flags="IsRangeMarker"/>'
        '<Location name="session" start="a0" end="a1" flags="IsRangeMarker,IsSessionRange"/>'
        '<Location name="verse" start="a0" end="a0" flags="IsMark"/>'
    )
    data = SESSION.replace(b"<Locations/>", f"<Locations>{ranges}</Locations>".encode())
    (region,) = ardour.parse(data)
    assert (region.name, region.start.frame(44100), region.end.frame(44100)) == ("no vocals", 22050, 55125)
    with pytest.raises(ValueError, match="'no vocals' is glued to bars and beats"):
        ardour.parse(data.replace(b"a141120000", b"b1920"))


def test_ardour_keeps_what_the_session_has():
    data = ardour.write(
        regions_of_marks(NO_VOCALS),
        44100,
        SESSION.replace(b"<Locations/>", b"<Locations/><Routes id='200'/>"),
    )
    assert b"<Routes" in data
    assert b'id="201"' in data


@pytest.mark.parametrize("master", ["MasterTrack", "MainTrack"])
def test_live_locators_follow_the_tempo(master):
    data = live_set([(-63072000, 60), (8, 60), (8, 120)], master=master)
    tempo = ableton.TempoMap(ableton._read(data)[1])
    assert [tempo.seconds(beat) for beat in (0, 4, 8, 10)] == [0, 4, 8, 9]
    assert tempo.beats(Fraction(9)) == 10


def test_a_tempo_ramp_takes_the_time_of_its_logarithm():
    tempo = ableton.TempoMap(ableton._read(live_set([(0, 60), (60, 120)]))[1])
    assert float(tempo.seconds(60)) == pytest.approx(60 * 0.6931471805599453)  # 60 / slope * ln 2, slope 1


def test_live_locators_without_their_partner_are_named():
    data = ableton.write(regions_of_marks(NO_VOCALS), 44100, live_set())
    assert [region.name for region in ableton.parse(data)] == ["no vocals"]
    broken = gzip.compress(gzip.decompress(data).replace(b"no vocals end", b"Verse"))
    with pytest.raises(ValueError, match="'no vocals start' at beat 1 has no 'no vocals end'"):
        ableton.parse(broken)


def test_locators_and_ranges_without_instrument_are_left_out(tmp_path):
    data = ableton.write(regions_of_marks(NO_VOCALS), 44100, live_set())
    locators = "".join(
        f'<Locator Id="9{beat}"><Time Value="{beat}"/><Name Value="{name}"/></Locator>'
        for beat, name in enumerate(("The End", "Verse start", "Verse end", "Intro", "Build start"))
    ).encode()
    xml = gzip.decompress(data).replace(b"</Locators></Locators>", locators + b"</Locators></Locators>")
    ranges = (
        b'<Locations><Location name="Verse" start="a0" end="a9" flags="IsRangeMarker"/>'
        b'<Location name="Bridge" start="b0" end="b9" flags="IsRangeMarker"/>'
        b'<Location name="no vocals" start="a141120000" end="a352800000" flags="IsRangeMarker"/></Locations>'
    )
    session = SESSION.replace(b"<Locations/>", ranges)
    for content, names in (
        (gzip.compress(xml), {"The End", "Verse", "Build start"}),
        (session, {"Verse", "Bridge"}),
    ):
        (tmp_path / "project").write_bytes(content)
        regions = read_regions(tmp_path / "project")
        marks, findings = examine_regions(regions, SOURCES, 44100, 441000)
        assert list(marks) == NO_VOCALS
        assert {finding.region for finding in findings} == names
        assert all(finding.severity is Severity.INFO for finding in findings)


XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="<&]\ufffe\uffff")
)


@given(
    texts=st.lists(XML_TEXT, min_size=4, max_size=4), end=st.sampled_from(["\n", "\r\n"]), empty=st.booleans()
)
def test_an_xml_project_keeps_every_other_byte(texts, end, empty):
    before, within, between, after = texts
    ranges = "<Locations/>" if empty else f"<Locations>{within}{end}\t</Locations>"
    counter = "id-counter = '90'"
    root = f"<Session {counter} a='1>'>{before}{ranges}{after}</Session>"
    session = f"<?xml version='1.0'?>{end}<!-- > -->{root}{end}"
    added = ardour.write(regions_of_marks(NO_VOCALS), 44100, session.encode())
    assert [region.name for region in ardour.parse(added)] == ["no vocals"]
    assert_only_added(added.replace(b'id-counter="91"', counter.encode()), session.encode(), empty)
    live = gzip.decompress(live_set())
    live = live.replace(b"</LiveSet>", f"<!--{end}-->{between}</LiveSet>".encode())
    added = gzip.decompress(ableton.write(regions_of_marks(NO_VOCALS), 44100, gzip.compress(live)))
    assert_only_added(added, live, is_in_empty_element=True)


@pytest.mark.parametrize(
    "before", ["<a/>", "<a></a>", "<a>\n </a>", "<a><b/></a>", "<a c='/>'/>", "<a c='>'><b/>\r\n\t</a>"]
)
def test_children_go_to_the_end_of_an_element(before):
    document = f"<?xml version='1.0'?><r>{before}</r>"
    added = insert_children(document.encode(), ["r", "a"], ['<b n="\u00e4"/>', "<c/>"])
    tags = [child.tag for child in ElementTree.fromstring(added).find("a")]
    assert tags == (["b"] if "<b/>" in before else []) + ["b", "c"]
    assert_only_added(added, document.encode(), is_in_empty_element="/>" in before and "<b/>" not in before)


def test_an_element_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="it has no <b>"):
        insert_children(b"<r><a/></r>", ["r", "b"], ["<c/>"])


def assert_only_added(added, before, is_in_empty_element):
    """Nothing but one stretch was put in; into `<a/>` it goes as `<a>...</a>`."""
    same = common_bytes(added, before) + common_bytes(added[::-1], before[::-1])
    assert same >= len(before) - (2 if is_in_empty_element else 0)


def common_bytes(a, b):
    return next(
        (place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


@pytest.mark.parametrize("data", [b"\x1f\x8bnothing", b"MThd", b'{"annotations": [', b"<Session"])
def test_damaged_files_are_refused_by_name(tmp_path, data):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(MarksFileError, match="damaged"):
        read_regions(path)


@given(
    st.sampled_from([b"\x1f\x8b", b"MThd", b"{", b"<Session", b"<REAPER_PROJECT", b"", b"0\t"]), st.binary()
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, magic, rest):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(magic + rest)
    with contextlib.suppress(MarksFileError):
        read_regions(path)


@pytest.mark.parametrize("text", ["\r\x00", '#,Name,Start\r\x00R1,"x', "1,2,3," + "x" * 200_000])
def test_what_is_no_csv_is_told_as_that(text):
    assert sonic_visualiser.looks_like(text) is False
    for parse in (reaper_csv.parse, sonic_visualiser.parse):
        with pytest.raises(ValueError, match="line"):
            parse(text)


@pytest.mark.parametrize(
    "known",
    [known for known in FORMATS if known.name not in ("ableton", "ardour")],  # which need a project
    ids=lambda known: known.name,
)
def test_suggestions_stay_suggestions_in_every_format(known):
    (region,) = regions_of_suggestions([Suggestion(Mark("vocals", MarkState.SILENT, 44_100, 88_200), 0.87)])
    data = known.write([region], 44_100, None)
    assert b"no vocals 87% ?" in data
    for again in known.read(data):
        assert is_suggestion(again.name)
        assert "87%" in again.name
