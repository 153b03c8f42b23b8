"""A header's word against a file's bytes: all of the song comes in, or the refusal names both."""

import io
import os
import re
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.helpers.encoded import KINDS, RATE_HZ, aiff, encode, encode_mp4, flac_with, id3v1, tones, wav
from ugosa_server.audio import SourceFrames
from ugosa_server.audio.decoding import DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.decoding.iff import read_wav
from ugosa_server.audio.decoding.parts import SongFile
from ugosa_server.errors import BadAudioError, InvalidInputError, UnsupportedEncodingError

SECOND, HALF = tones(RATE_HZ), tones(RATE_HZ // 2, seed=1)
PCM = np.rint(SECOND * 32_767).astype("<i2").tobytes()
BYTES = len(PCM)
NEVER_IN_A_SENTENCE = re.compile(
    r"errno|libsnd|ffmpeg|pyav|avcodec|avformat|numpy|\bnone\b(?! of)|<[a-z]|/tmp|traceback", re.IGNORECASE
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("songs")


def decoded(folder, content):
    (folder / "song").write_bytes(content)
    try:
        source = decode(DecodeRequest(str(folder / "song"), str(folder / "song.f32")))
    except InvalidInputError as error:
        check_sentence(error.message)
        raise
    with SourceFrames(source) as frames:
        return frames[:]


def check_sentence(message):
    assert not NEVER_IN_A_SENTENCE.search(message), message


def refused(folder, content, match, error=BadAudioError):
    with pytest.raises(error, match=match):
        decoded(folder, content)


# More than the header counts.


@pytest.mark.parametrize("kind", ["Vorbis", "Opus"])
def test_chained_streams_are_one_song(folder, kind):
    first, second = encode(kind, SECOND), encode(kind, HALF)
    expected = [decoded(folder, first), decoded(folder, second), decoded(folder, first)]
    np.testing.assert_array_equal(decoded(folder, first + second + first), np.concatenate(expected))


def test_a_chain_that_changes_its_rate_is_refused(folder):
    chain = encode("Vorbis", SECOND) + encode("Vorbis", HALF, 48_000)
    refused(folder, chain, "changes from 44100 Hz .* to 48000 Hz", UnsupportedEncodingError)


def test_a_chain_whose_first_stream_does_not_end_is_refused(folder):
    first = encode("Vorbis", SECOND)
    refused(folder, first[: first.rfind(b"OggS")] + encode("Vorbis", HALF), "OGG file is cut short")


def test_flac_frames_beyond_the_count_belong_to_the_song(folder):
    song = encode("FLAC", SECOND)
    np.testing.assert_array_equal(decoded(folder, flac_with(song, RATE_HZ // 2)), decoded(folder, song))


@pytest.mark.parametrize(
    ("count", "between"),
    [(None, b""), (None, id3v1(b"of the first")), (0, b"")],
    ids=["counted", "with a tag", "uncounted"],
)
@pytest.mark.parametrize("frames", [RATE_HZ, 10 * 4096], ids=["a part of a block", "whole blocks"])
@pytest.mark.parametrize("bits", [16, 24])
def test_joined_flac_files_are_one_song(folder, bits, frames, count, between):
    first = flac_with(encode("FLAC", SECOND[:frames]), count)
    second = io.BytesIO()
    soundfile.write(second, HALF, RATE_HZ, f"PCM_{bits}", format="FLAC")
    expected = [decoded(folder, song) for song in (first, second.getvalue(), first)]
    joined = between.join([first, second.getvalue(), first])
    np.testing.assert_array_equal(decoded(folder, joined), np.concatenate(expected))


def test_a_second_flac_that_is_cut_short_is_refused(folder):
    song = encode("FLAC", SECOND)
    refused(folder, song + song[: len(song) // 2], "the FLAC file is damaged")


@pytest.mark.parametrize(
    ("song", "promised", "found"),
    [
        (wav(PCM, BYTES // 2), BYTES // 2, BYTES),
        (wav(PCM) + wav(PCM), BYTES, BYTES + len(wav(PCM))),
        (aiff(PCM, BYTES // 2 + 8), BYTES // 2, BYTES),
        (aiff(PCM, frames=1000), 4000, BYTES),
        (aiff(PCM) + aiff(PCM), BYTES, BYTES + len(aiff(PCM))),
        (wav(PCM + bytes(100_000)), BYTES + 100_000, BYTES + 100_000),
    ],
    ids=["wav", "two wavs", "aiff", "aiff that counts frames", "two aiffs", "zeros"],
)
def test_samples_beyond_the_count_are_refused_with_both_sizes(folder, song, promised, found):
    if promised == found:
        song = song[:40] + struct.pack("<I", BYTES) + song[44:]
        promised = BYTES
    refused(folder, song, f"{promised} bytes of samples by the header, but {found} are there")


def test_an_empty_chunk_of_samples_before_theirs_is_no_sound(folder):
    np.testing.assert_array_equal(
        decoded(folder, wav(PCM, before=b"data" + bytes(4))), decoded(folder, wav(PCM))
    )


def test_a_wav_size_that_wrapped_past_4_gib_counts_all(folder):
    size = 2**32 + BYTES
    path = folder / "long.wav"
    with path.open("wb") as file:
        file.write(wav(b"", size=size % 2**32))
        file.truncate(44 + size)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"LIST\4\0\0\0INFO")
    with path.open("rb") as file:
        mended = soundfile.SoundFile(io.BufferedReader(read_wav(SongFile(file), 0)))
        assert mended.frames == size // 4
    path.unlink()


def test_two_movies_in_one_m4a_are_refused(folder):
    song = encode("AAC", HALF)
    refused(folder, song + song, "1 movies by the header, but 2 are there")


# Less than the header counts.


@pytest.mark.parametrize(
    ("song", "match"),
    [
        (wav(PCM, BYTES + 1000), f"promises {BYTES + 1000} bytes of samples, but {BYTES} are there"),
        (aiff(PCM, BYTES + 1008), f"promises {BYTES + 1000} bytes of samples, but {BYTES} are there"),
        (aiff(PCM, frames=RATE_HZ + 7), f"promises {BYTES + 28} bytes of samples, but {BYTES} are there"),
        (flac_with(encode("FLAC", SECOND), 2 * RATE_HZ), "promises 88200 frames, but 44100 are there"),
    ],
)
def test_a_count_of_too_much_is_refused_with_both_numbers(folder, song, match):
    refused(folder, song, match)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_cut_song_is_refused_or_whole(folder, kind, data):
    song = CUTTABLE[kind]
    length = data.draw(st.integers(0, len(song) - 1))
    try:
        frames = decoded(folder, song[:length])
    except InvalidInputError:
        return
    assert len(frames) == len(HALF)


CUTTABLE = {kind: encode(kind, HALF) for kind in KINDS}


# Counts that mean "unknown".


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFFFFC])
def test_a_wav_of_unknown_size_is_read_to_its_end(folder, size):
    np.testing.assert_array_equal(decoded(folder, wav(PCM + b"\1", size)), decoded(folder, wav(PCM)))


def test_a_wav_that_arecord_wrote_into_a_pipe_is_read_to_its_end(folder):
    song = wav(PCM, 2**31)
    np.testing.assert_array_equal(
        decoded(folder, song[:4] + struct.pack("<I", 2**31 + 36) + song[8:]), decoded(folder, wav(PCM))
    )
    refused(folder, song, f"promises {2**31} bytes of samples, but {BYTES} are there")


@pytest.mark.parametrize("size", [0, 2**64 - 1])
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_an_unfinished_rf64_is_read_to_its_end(folder, magic, size):
    np.testing.assert_array_equal(decoded(folder, rf64(magic, size)), decoded(folder, wav(PCM)))


def rf64(magic, size):
    plain = wav(PCM, 2**32 - 1)
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, size, size, 0, 0)
    return magic + b"\xff\xff\xff\xff" + plain[8:12] + ds64 + plain[12:]


@pytest.mark.parametrize(("size", "frames"), [(0, 0), (0x7F000000 + 8, 0x7F000000 // 4), (0xFFFFFFFF, 0)])
def test_an_aiff_of_unknown_size_is_read_to_its_end(folder, size, frames):
    np.testing.assert_array_equal(decoded(folder, aiff(PCM, size, frames)), decoded(folder, aiff(PCM)))


@pytest.mark.parametrize("digest", [None, bytes(16)])
def test_a_flac_of_unknown_length_is_read_to_its_end(folder, digest):
    song = encode("FLAC", SECOND)
    np.testing.assert_array_equal(decoded(folder, flac_with(song, 0, digest)), decoded(folder, song))


def test_an_m4a_that_was_never_finished_is_refused(folder):
    song = encode("AAC", HALF)
    refused(folder, song[: song.rfind(b"moov") - 4], "never finished or is cut short: it has no 'moov' box")


# Counts that do not fit the frames.


def mpeg_count(mp3):
    """Position of the number of frames in the first frame of an MP3."""
    return max(mp3.find(b"Xing", 0, 200), mp3.find(b"Info", 0, 200)) + 8


def test_an_mp3_count_that_is_too_small_drops_no_frame(folder):
    song = encode("MP3", SECOND)
    at = mpeg_count(song)
    whole, wrong = decoded(folder, song), song[:at] + struct.pack(">I", 10) + song[at + 4 :]
    frames = decoded(folder, wrong)
    np.testing.assert_array_equal(frames[: len(whole)], whole)
    assert len(whole) <= len(frames) < len(whole) + 1152  # what filled the last frame is not told from song


@pytest.mark.parametrize("hole", [bytes(100_000), b"unknown" * 20_000], ids=["zeros", "unknown"])
def test_an_mp3_without_a_count_that_ends_in_a_hole_is_refused(folder, hole):
    song = encode("MP3", SECOND)
    at = mpeg_count(song)
    counted, uncounted = song, song[:at] + bytes(4) + song[at + 4 :]
    assert len(decoded(folder, counted + hole)) == RATE_HZ
    refused(folder, uncounted + hole, "MP3 file is damaged after frame")


@pytest.mark.parametrize("count", [0, 0xFFFFFFFF])
def test_an_mp3_whose_count_is_unknown_is_read_to_its_end(folder, count):
    song = encode("MP3", SECOND)
    at = mpeg_count(song)
    whole = decoded(folder, song)
    frames = decoded(folder, song[:at] + struct.pack(">I", count) + song[at + 4 :])
    np.testing.assert_array_equal(frames[: len(whole)], whole)


def test_an_mp3_padding_that_no_encoder_makes_drops_no_frame(folder):
    song = encode("MP3", SECOND)
    at = song.find(b"LAME", 0, 300) + 22
    whole = decoded(folder, song)
    assert song[at] & 0xF0 == 576 % 16 << 4  # the delay's last bits, before the padding
    frames = decoded(folder, song[:at] + bytes([song[at] | 0x0F, 0xFF]) + song[at + 2 :])
    np.testing.assert_array_equal(frames[: len(whole)], whole)


def test_joined_mp3_files_lose_no_frame_and_stay_in_time(folder):
    first, second = encode("MP3", SECOND), encode("MP3", HALF)
    counts = [struct.unpack(">I", song[mpeg_count(song) :][:4])[0] for song in (first, second)]
    alone = [decoded(folder, song) for song in (first, second)]
    frames = decoded(folder, first + second)
    np.testing.assert_array_equal(frames[: len(alone[0])], alone[0])
    # Dropped is the first delay alone; the second file's frame of counts, and its delay, are heard.
    delay = 576 + 529
    assert len(frames) == (counts[0] + 1 + counts[1]) * 1152 - delay
    begins = (counts[0] + 1) * 1152
    later = slice(3 * 1152, len(alone[1]))
    np.testing.assert_allclose(frames[begins:][: len(alone[1])][later], alone[1][later], atol=1e-4)


def test_an_mp3_count_of_too_much_is_refused_with_both_numbers(folder):
    song = encode("MP3", SECOND)
    at = mpeg_count(song)
    promised = struct.unpack(">I", song[at : at + 4])[0]
    wrong = song[:at] + struct.pack(">I", promised + 9) + song[at + 4 :]
    refused(folder, wrong, f"promises {promised + 9} MPEG frames, but {promised} are there")


@pytest.mark.parametrize("codec", ["aac", "alac"])
@pytest.mark.parametrize("frames", [RATE_HZ, RATE_HZ + 17, 12_345, 4096])
@pytest.mark.parametrize("options", [{}, {"movie_timescale": "44100"}, {"use_editlist": "0"}], ids=str)
def test_the_end_of_an_m4a_is_its_songs_end(folder, codec, frames, options):
    song = encode_mp4(codec, tones(frames), options=options)
    delay = 1024 if codec == "aac" and "use_editlist" in options else 0  # no edit list says that it is one
    assert len(decoded(folder, song)) == frames + delay


@pytest.mark.parametrize("kind", ["Vorbis", "Opus"])
@pytest.mark.parametrize(
    ("count", "match"),
    [
        (1000, "1000 frames by the header, but [0-9]+ are there"),
        (10**9, "promises [0-9]+ frames, but [0-9]+ are there"),
        (2**64 - 1, "its last page does not end the stream"),
    ],
)
def test_an_ogg_whose_last_page_counts_wrong_is_refused(folder, kind, count, match):
    song = bytearray(encode(kind, tones(6 * RATE_HZ)))
    last = bytes(song).rfind(b"OggS")
    song[last + 6 : last + 14] = count.to_bytes(8, "little")
    song[last + 22 : last + 26] = ogg_crc(song[last:])
    refused(folder, bytes(song), match)


def test_an_ogg_that_begins_in_the_middle_of_a_broadcast_is_read(folder):
    song = encode("Vorbis", tones(6 * RATE_HZ))
    pages = [b"OggS" + page for page in song.split(b"OggS")[1:]]
    cut = b"".join(pages[:2] + pages[-4:])  # its head, and its last pages
    np.testing.assert_allclose(decoded(folder, cut)[-30_000:], decoded(folder, song)[-30_000:], atol=1e-5)


def ogg_crc(page):
    crc = 0
    for byte in bytes(page[:22]) + bytes(4) + bytes(page[26:]):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 1 << 31 else crc << 1) & 0xFFFFFFFF
    return crc.to_bytes(4, "little")


# Surplus of any kind.


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_surplus_never_shortens_a_song(folder, kind, data):
    song = CUTTABLE[kind]
    surplus = data.draw(st.binary(min_size=1, max_size=300) | st.sampled_from(list(CUTTABLE.values())))
    alone = decoded(folder, song)
    try:
        frames = decoded(folder, song + surplus)
    except InvalidInputError:
        return
    np.testing.assert_array_equal(frames[: len(alone)], alone)
    assert surplus != song or len(frames) >= 2 * len(alone), "a song after the song was dropped in silence"


# Damage, and codecs that are not accepted.


@pytest.mark.parametrize("digest", [None, bytes(16)])
@given(place=st.floats(0.05, 0.95), length=st.integers(1, 60))
def test_a_damaged_flac_is_refused(folder, digest, place, length):
    song = bytearray(flac_with(CUTTABLE["FLAC"], digest=digest))
    at = int(len(song) * place)
    assume(at > 200)
    damage = bytes(byte ^ 0xA5 for byte in song[at : at + length])
    song[at : at + length] = damage
    refused(folder, bytes(song), "the FLAC file is (damaged|cut short)")


@pytest.mark.parametrize("kind", ["Vorbis", "Opus"])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_an_ogg_of_which_one_byte_differs_is_refused(folder, kind, place, change):
    song = bytearray(CUTTABLE[kind])
    song[int(len(song) * place)] ^= change
    refused(folder, bytes(song), "OGG|none of the accepted kinds", (BadAudioError, UnsupportedEncodingError))


@pytest.mark.parametrize(
    ("begins", "name"), [(b"Speex   1.2rc1", "Speex"), (b"\x7fFLAC\1\0", "FLAC"), (b"\x80theora", "Theora")]
)
def test_an_ogg_of_another_codec_is_refused_by_its_name(folder, begins, name):
    song = bytearray(encode("Vorbis", HALF))
    song[28 : 28 + len(begins)] = begins
    refused(folder, bytes(song), f"OGG with {name} is not accepted; export it as", UnsupportedEncodingError)


@pytest.mark.parametrize(
    ("song", "name"),
    [
        (wav(PCM)[:20] + b"\x55\0" + wav(PCM)[22:], "WAV with MP3 samples"),
        (wav(PCM)[:20] + b"\x34\x12" + wav(PCM)[22:], "WAV with 0x1234 samples"),
        (aiff(PCM)[:8] + b"AIFC" + aiff(PCM)[12:38] + b"ima4" + aiff(PCM)[38:], "AIFF with IMA4 samples"),
        (encode_mp4("mp3", HALF), "M4A with MP3 .* audio"),
    ],
)
def test_samples_of_another_codec_are_refused_by_its_name(folder, song, name):
    if song[8:12] == b"AIFC":
        song = song[:16] + struct.pack(">I", 22) + song[20:]
    refused(folder, song, f"{name} is not accepted; export it", UnsupportedEncodingError)


@pytest.mark.parametrize("value", [1e37, -2e6])
def test_a_sample_beyond_120_db_is_refused_with_its_place(folder, value):
    samples = np.zeros((1000, 2), np.float32)
    samples[700, 1] = value
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE_HZ, format="WAV", subtype="FLOAT")
    refused(folder, stream.getvalue(), "at frame 700 of channel 2, .* dB above full scale")


def test_bw64_comes_in_exactly(folder):
    np.testing.assert_array_equal(decoded(folder, rf64(b"BW64", BYTES)), decoded(folder, wav(PCM)))
