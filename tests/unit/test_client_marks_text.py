"""Whatever text a marks file has, it gives marks or a sentence; what is written is read back."""

import gzip
import json
import re
import unicodedata
from fractions import Fraction
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.sentences import assert_sentence
from ugosa_client.errors import MarksFileError
from ugosa_client.marks.file import read_marks, read_regions, write_regions
from ugosa_client.marks.formats import FORMATS, format_named
from ugosa_client.marks.regions import Position, Region

SOURCES = ("drums", "bass", "other", "vocals")
RATE_HZ, FRAMES = 44_100, 441_000
ODD_TIMES = [
    *(
        "",
        "0",
        "1",
        "01:02,5",
        "1:60",
        "1e3",
        "1e999",
        "1e-999",
        "-0",
        "NaN",
        "inf",
        "\u0665",
        "\u00b2",
        "1_0",
    ),
    "1_0",
    *("0x10", "1.2.3", "88200", "1/0", " 1 ", "a1", "b1", "a88200000", "1:2:3:4", "1.1.00", "0-1"),
    *("9" * 400, "9" * 5000, "0." + "1" * 5000, "1:" + "9" * 5000, "a" + "9" * 5000),
]
TIMES = st.decimals(-10, 20, places=3).map(str) | st.sampled_from(ODD_TIMES) | st.text(max_size=6)
NAMES = st.sampled_from(
    ["no vocals", "vocals", "Bass", "drums only", "vocals start", "vocals end", 'no "vox"', "Verse 1", ""]
) | st.text(max_size=12)
ROWS = st.lists(st.tuples(TIMES, TIMES, NAMES), max_size=5)


def attribute(text):
    return quoteattr("".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff")))


def audacity(rows):
    return "".join(f"{start}\t{end}\t{name}\n" for start, end, name in rows).encode()


def lab(rows):
    return "".join(f"{start} {end} {name}\n" for start, end, name in rows).encode()


def reaper_csv(rows):
    lines = "".join(f"R{i},{name},{start},{end},1\n" for i, (start, end, name) in enumerate(rows))
    return f"#,Name,Start,End,Length\n{lines}".encode()


def sonic_visualiser(rows):
    return ("TIME,VALUE,DURATION,LABEL\n" + "".join(f"{a},1,{b},{n}\n" for a, b, n in rows)).encode()


def jams(rows):
    data = [{"time": start, "duration": end, "value": name} for start, end, name in rows]
    return json.dumps({"annotations": [{"namespace": "tag_open", "data": data}]}).encode()


def jams_of_numbers(rows):
    data = ",".join(f'{{"time": {a}, "duration": {b}, "value": {json.dumps(n)}}}' for a, b, n in rows)
    return f'{{"annotations": [{{"namespace": "tag_open", "data": [{data}]}}]}}'.encode()


def rpp(rows):
    lines = "".join(
        f"MARKER {i} {start} {name!r} 1\nMARKER {i} {end} '' 1\n" for i, (start, end, name) in enumerate(rows)
    )
    item = "".join(
        f"<TRACK\n<ITEM\nPOSITION {a}\nLENGTH {b}\nNAME {n}\n<SOURCE WAVE\nFILE a.wav\n>\n>\n>\n"
        for a, b, n in rows[:1]
    )
    lanes = "".join(f"<TRACK\nNAME {n!r}\n<ITEM\nPOSITION {a}\nLENGTH {b}\n>\n>\n" for a, b, n in rows)
    return f"<REAPER_PROJECT 0.1\n{lines}{item}{lanes}>\n".encode()


def ardour(rows):
    ranges = "".join(
        f'<Location name={attribute(n)} start={attribute(a)} end={attribute(b)} flags="IsRangeMarker"/>'
        for a, b, n in rows
    )
    session = f'<Session sample-rate="48000"><Locations>{ranges}</Locations></Session>'
    return f'<?xml version="1.0"?>{session}'.encode()


def ableton(rows):
    locators = "".join(
        f"<Locator><Time Value={attribute(t)}/><Name Value={attribute(n + edge)}/></Locator>"
        for a, b, n in rows
        for t, edge in ((a, " start"), (b, " end"))
    )
    tempo = "".join(f"<FloatEvent Time={attribute(a)} Value={attribute(b)}/>" for a, b, _ in rows)
    return gzip.compress(
        '<?xml version="1.0" encoding="UTF-8"?><Ableton><LiveSet><MainTrack><AutomationEnvelopes><Envelopes>'
        '<AutomationEnvelope><EnvelopeTarget><PointeeId Value="8"/></EnvelopeTarget><Automation><Events>'
        f"{tempo}</Events></Automation></AutomationEnvelope></Envelopes></AutomationEnvelopes><DeviceChain>"
        '<Mixer><Tempo><Manual Value="120"/><AutomationTarget Id="8"/></Tempo></Mixer></DeviceChain>'
        f"</MainTrack><Locators><Locators>{locators}</Locators></Locators></LiveSet></Ableton>".encode()
    )


WRITERS = (audacity, lab, reaper_csv, sonic_visualiser, jams, jams_of_numbers, rpp, ardour, ableton)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("texts") / "marks"


@pytest.mark.parametrize("write", WRITERS)
@given(rows=ROWS)
def test_any_words_and_times_are_marks_or_a_sentence(path, write, rows):
    path.write_bytes(write(rows))
    try:
        marks = read_marks(path, SOURCES, RATE_HZ, FRAMES)
    except MarksFileError as refusal:
        assert_sentence(str(refusal), path, *(text for texts in rows for text in texts))
    else:
        assert all(0 <= mark.start_frame < mark.end_frame <= FRAMES for mark in marks)
        assert {mark.source for mark in marks} <= set(SOURCES)


FIELDS = ["annotations", "namespace", "data", "time", "duration", "value"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
)


@given(JSON | st.just("tag_open"), st.sampled_from(["annotations", "data", "rows", "time", "value"]))
def test_json_of_any_shape_is_jams_or_a_sentence(path, odd, place):
    row = {"time": 0.5, "duration": 0.75, "value": "no vocals"} | {place: odd}
    annotation = {
        "namespace": "tag_open",
        "data": odd if place == "data" else [odd if place == "rows" else row],
    }
    document = {"annotations": odd if place == "annotations" else [annotation]}
    path.write_text(json.dumps(document))
    try:
        read_regions(path)
    except MarksFileError as refusal:
        assert_sentence(str(refusal), path, repr(odd))


@pytest.mark.parametrize("text", ['{"annotations":' + "[" * 200_000, "<Session>" * 200_000])
def test_what_is_nested_without_end_is_a_sentence(path, text):
    path.write_text(text)
    with pytest.raises(MarksFileError) as caught:
        read_regions(path)
    assert_sentence(str(caught.value), path)


ODD_KINDS = {"Cc", "Zl", "Zp"}


def on_one_line(name):
    return " ".join("".join(" " if unicodedata.category(c) in ODD_KINDS else c for c in name).split())


SPANS = st.tuples(st.integers(0, FRAMES - 1), st.integers(1, FRAMES)).map(lambda s: (s[0], s[0] + s[1]))
OWN_NAMES = re.compile(r"UGOSA: .*|.*\s\?\s*", re.DOTALL)  # findings and suggestions are left out when read
NAMED = st.tuples(
    st.text(min_size=1, max_size=12).filter(lambda n: not OWN_NAMES.fullmatch(on_one_line(n))), SPANS
)
PROJECTS = {"ardour": ardour([]), "ableton": ableton([])}


@pytest.mark.parametrize("name", [known.name for known in FORMATS])
@given(named=st.lists(NAMED, max_size=4, unique_by=lambda item: on_one_line(item[0]).casefold()))
def test_a_region_of_any_name_is_read_back_or_refused(path, name, named):
    regions = [
        Region(text, *(Position(Fraction(edge), in_frames=True) for edge in span)) for text, span in named
    ]
    project = path.with_name(f"project of {name}")
    project.write_bytes(PROJECTS.get(name, b""))
    into = project if name in PROJECTS else None
    try:
        write_regions(path, regions, RATE_HZ, format_named(name), into)
    except MarksFileError as refusal:
        assert_sentence(str(refusal), path, *(text for text, _ in named))
        return
    found = [
        (" ".join(region.name.split()), region.start.frame(RATE_HZ), region.end.frame(RATE_HZ))
        for region in read_regions(path)
    ]
    assert sorted(found) == sorted((on_one_line(text), *span) for text, span in named)


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "9" * 5000])
def test_odd_numbers_of_a_project_do_not_keep_marks_out(path, number):
    regions = [Region("no vocals", Position(Fraction(0)), Position(Fraction(1)))]
    number = number.encode()
    projects = {
        "ardour": ardour([]).replace(b"<Session", b'<Session id-counter="%s" id="%s"' % (number, number)),
        "rpp": b"<REAPER_PROJECT 0.1\nMARKER %s 0 '' %s\n>\n" % (number, number),
        "ableton": gzip.compress(
            gzip.decompress(ableton([("0", "1", "a")])).replace(b"<Locator>", b'<Locator Id="%s">' % number)
        ),
    }
    for name, project in projects.items():
        (into := path.with_name(name)).write_bytes(project)
        write_regions(path, regions, RATE_HZ, format_named(name), into)
        assert "no vocals" in [region.name for region in read_regions(path)]
