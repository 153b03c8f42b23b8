"""Any bytes given as a song are decoded or refused in words, within their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.encoded import KINDS, encode, tones
from tests.helpers.mutations import hostile
from ugosa_server.audio.decoding.child import DecodeLimits, DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.errors import InvalidInputError, QuotaError

MAX_BYTES = 2**20


SEEDS = {kind: encode(kind, tones(1500)) for kind in KINDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("songs")


def decoded_or_refused(folder, content, pcm=None):
    song, out = folder / "song", folder / "song.f32"
    song.write_bytes(content)
    out.unlink(missing_ok=True)
    limits = DecodeLimits(max_bytes=MAX_BYTES)
    try:
        audio = decode(DecodeRequest(str(song), str(out), pcm, limits))
    except (InvalidInputError, QuotaError):
        assert not out.exists()
    else:
        assert out.stat().st_size == audio.frames * audio.channels * 4 <= MAX_BYTES
    assert not list(folder.glob("song.f32.*.tmp"))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_bytes_are_a_song_or_refused_as_one(folder, kind, data):
    decoded_or_refused(folder, data.draw(hostile([SEEDS[kind]])))


@given(
    content=st.binary(max_size=200),
    encoding=st.sampled_from(PcmEncoding),
    rate_hz=st.integers(min_value=0, max_value=2**32 - 1),
    channels=st.integers(min_value=0, max_value=2**32 - 1),
)
def test_any_raw_samples_are_a_song_or_refused_as_one(folder, content, encoding, rate_hz, channels):
    decoded_or_refused(folder, content, RawPcm(encoding, rate_hz, channels))
