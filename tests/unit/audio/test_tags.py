"""Tags and padding around a song change nothing of it, whatever kind of file it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.encoded import (
    KINDS,
    apev2,
    encode,
    id3v1,
    id3v1_extended,
    id3v2,
    id3v2_with_footer,
    lyrics3v1,
    lyrics3v2,
    tones,
    wav,
)
from ugosa_server.audio import SourceFrames
from ugosa_server.audio.decoding import DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

FRAMES = 9_000
SONGS = {kind: encode(kind, tones(FRAMES)) for kind in KINDS}

texts = st.binary(max_size=600) | st.just(bytes(range(256)) * 40)
zeros = st.integers(1, 5000).map(bytes)
tags_before = st.one_of(
    zeros,
    texts.map(id3v2),
    texts.map(lambda text: id3v2(text, 4)),
    texts.map(id3v2_with_footer),
    texts.map(apev2),
)
tags_after = tags_before | st.one_of(
    texts.map(id3v1),
    texts.map(id3v1_extended),
    texts.map(lyrics3v1),
    texts.map(lyrics3v2),
    texts.map(lambda text: apev2(text, header=False)),
)


def decoded(folder, content):
    (folder / "song").write_bytes(content)
    source = decode(DecodeRequest(str(folder / "song"), str(folder / "song.f32")))
    with SourceFrames(source) as frames:
        return source, frames[:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("songs")


@pytest.fixture(scope="module")
def bare(folder):
    return {kind: decoded(folder, song) for kind, song in SONGS.items()}


@pytest.mark.parametrize("kind", KINDS)
@given(before=st.lists(tags_before, max_size=4), after=st.lists(tags_after, max_size=5))
def test_tags_around_a_song_change_none_of_its_frames(folder, bare, kind, before, after):
    source, frames = decoded(folder, b"".join([*before, SONGS[kind], *after]))
    assert source == bare[kind][0]
    np.testing.assert_array_equal(frames, bare[kind][1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_song_has_the_length_that_was_encoded(bare, kind):
    assert bare[kind][0].frames == FRAMES


@pytest.mark.parametrize(
    "after",
    [b"\0", b"x", b"bytes of no known kind", np.random.default_rng(0).bytes(5000), b"unknown" * 20_000],
    ids=len,
)
@pytest.mark.parametrize("kind", ["FLAC", "Vorbis", "Opus", "MP3", "AAC", "ALAC"])
def test_unknown_bytes_after_an_encoded_song_are_ignored(folder, bare, kind, after):
    source, frames = decoded(folder, SONGS[kind] + after)
    assert source == bare[kind][0]
    np.testing.assert_array_equal(frames, bare[kind][1])


@pytest.mark.parametrize(
    "chunk", [b"LIST\4\0\0\0INFO", b"id3 \3\0\0\0abc", b"bext\2\0\0\0ab", b"LIST\xff\0\0\0cut"], ids=repr
)
@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_chunks_after_odd_samples_may_lack_their_pad_byte(folder, chunk, padding):
    samples = bytes(range(1, 250)) * 3  # an odd number of bytes: half a frame is left over
    source, frames = decoded(folder, wav(samples, after=padding + chunk))
    assert source.frames == len(frames) == len(samples) // 4


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_text_after_samples_is_ignored(folder, bare, kind):
    source, _ = decoded(folder, SONGS[kind] + b"<xmp>written by a program\r\n</xmp>\n" * 9)
    assert source == bare[kind][0]


@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_an_odd_chunk_before_samples_may_lack_its_pad_byte(folder, padding):
    source, _ = decoded(folder, wav(bytes(range(1, 101)), before=b"note\3\0\0\0abc" + padding))
    assert source.frames == 25


def test_an_mp3_may_begin_in_the_middle_of_a_frame(folder, bare):
    source, frames = decoded(folder, SONGS["MP3"][700:])
    assert source.encoding == "MP3"
    assert len(frames) >= FRAMES


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "MP3"])
@pytest.mark.parametrize("tags", [id3v1(b"title"), apev2(b"t" * 90), apev2(b"t" * 90) + id3v1(b"title")])
def test_a_cut_song_stays_one_under_its_tags(folder, kind, tags):
    song = SONGS[kind]
    if kind == "MP3":  # its count tells only of whole frames
        song = song.replace(b"Info", b"none").replace(b"Xing", b"none")
    with pytest.raises(BadAudioError, match="are there"):
        decoded(folder, song[:-40] + tags)


@pytest.mark.parametrize("tags", [id3v1(b"title"), apev2(b"t" * 90) + id3v1(b"title")])
def test_tags_after_samples_of_unknown_size_are_no_sound(folder, tags):
    song = wav(bytes(range(256)) * 40, size=0xFFFFFFFF)
    _, bare = decoded(folder, song)
    assert np.array_equal(decoded(folder, song + tags)[1], bare)


def test_tags_without_a_song_are_refused(folder):
    with pytest.raises(BadAudioError, match="610 bytes of tags or zeros and no audio"):
        decoded(folder, id3v2(bytes(600)))


@pytest.mark.parametrize(
    ("begins", "name"),
    [
        (b"\x30\x26\xb2\x75\x8e\x66", "WMA"),
        (b"\x1a\x45\xdf\xa3", "Matroska"),
        (b"wvpk", "WavPack"),
        (b"\xff\xf1\x50\x80", "ADTS"),
        (b"\xff\xfd\x90\x04", "layer I or II"),
    ],
)
def test_other_kinds_of_songs_are_refused_by_name(folder, begins, name):
    with pytest.raises(UnsupportedEncodingError, match=f"{name}.* none of the accepted kinds; send WAV"):
        decoded(folder, begins + bytes(range(1, 200)))
