"""Whatever bytes a marks file has, it is read, or the error says what is wrong with it."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.mutations import hostile
from tests.helpers.sentences import assert_sentence
from ugosa_client.errors import MarksFileError
from ugosa_client.marks.ableton import MAX_SET_BYTES
from ugosa_client.marks.file import read_marks
from ugosa_client.marks.formats import FORMATS
from ugosa_client.marks.regions import regions_of_marks
from ugosa_client.resources import Mark, MarkState

SOURCES = ("drums", "bass", "other", "vocals")
RATE_HZ, FRAMES = 44_100, 441_000
MARKS = [Mark("vocals", MarkState.SILENT, 22_050, 66_150), Mark("bass", MarkState.ACTIVE, 0, 44_100)]
PROJECTS = {
    "ableton": gzip.compress(
        b'<?xml version="1.0" encoding="UTF-8"?><Ableton MajorVersion="5"><LiveSet><MainTrack>'
        b"<AutomationEnvelopes><Envelopes/></AutomationEnvelopes><DeviceChain><Mixer><Tempo>"
        b'<Manual Value="120"/><AutomationTarget Id="8"/></Tempo></Mixer></DeviceChain></MainTrack>'
        b"<Locators><Locators/></Locators></LiveSet></Ableton>"
    ),
    "ardour": b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<Session sample-rate="44100" id-counter="90"><Locations/></Session>',
}
SEEDS = {
    known.name: known.write(regions_of_marks(MARKS), RATE_HZ, PROJECTS.get(known.name)) for known in FORMATS
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("marks") / "marks"


@pytest.mark.parametrize("name", SEEDS)
@given(data=st.data())
def test_any_bytes_are_marks_or_an_error_that_names_the_file(path, name, data):
    if name == "ableton" and data.draw(st.booleans()):  # damage that gzip's checksum does not find
        content = gzip.compress(data.draw(hostile([gzip.decompress(SEEDS[name])])))
    else:
        content = data.draw(hostile([SEEDS[name]]))
    path.write_bytes(content)
    try:
        marks = read_marks(path, SOURCES, RATE_HZ, FRAMES)
    except MarksFileError as refusal:
        assert_sentence(str(refusal), path)
    else:
        assert all(mark.source in SOURCES for mark in marks)
        assert all(0 <= mark.start_frame < mark.end_frame <= FRAMES for mark in marks)


@pytest.mark.parametrize("name", ["ableton", "ardour"])
def test_an_encoding_that_nobody_knows_is_an_error_of_the_file(path, name):
    seed = gzip.decompress(SEEDS[name]) if name == "ableton" else SEEDS[name]
    damaged = seed.replace(b"UTF-8", b"ATF-8")
    assert damaged != seed
    path.write_bytes(gzip.compress(damaged) if name == "ableton" else damaged)
    with pytest.raises(MarksFileError, match="ATF-8"):
        read_marks(path, SOURCES, RATE_HZ, FRAMES)


def test_a_gzip_bomb_is_not_unpacked(path):
    path.write_bytes(gzip.compress(bytes(MAX_SET_BYTES + 1), compresslevel=1))
    with pytest.raises(MarksFileError, match="unpacks to more"):
        read_marks(path, SOURCES, RATE_HZ, FRAMES)
