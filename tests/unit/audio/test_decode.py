"""Audio comes in exactly, or is refused with a reason a musician can act on."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from ugosa_server.audio.decoding import DecodeLimits, DecodeRequest, decode_in_child
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.errors import BadAudioError, DecoderFailedError, UnsupportedEncodingError

RATE_HZ = 44_100
BITS = {"PCM_16": 16, "PCM_24": 24}


def integers(bits: int, frames: int = 70_001, channels: int = 2) -> np.ndarray:
    """Every kind of value, the extremes included."""
    steps = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (frames, channels))
    steps[0, 0], steps[-1, -1] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return steps


def decode_file(path: Path, tmp_path: Path, **request) -> tuple:
    source = decode(DecodeRequest(str(path), str(tmp_path / "song.f32"), **request))
    with SourceFrames(source) as frames:
        return source, frames[:]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF", "FLAC"])
def test_integer_files_come_in_exactly(tmp_path, container, subtype, channels):
    steps = integers(BITS[subtype], channels=channels)
    path = tmp_path / "mein Lied ö 音.bin"
    soundfile.write(path, steps.astype(np.int32) << (32 - BITS[subtype]), 48_000, subtype, format=container)
    source, frames = decode_file(path, tmp_path)
    np.testing.assert_array_equal(frames.astype(np.float64), steps / 2.0 ** (BITS[subtype] - 1))
    assert (source.sample_rate_hz, source.channels, source.frames) == (48_000, channels, len(steps))
    assert source.encoding.endswith(subtype)
    assert source.peak == 1.0


def test_float_files_come_in_exactly_beyond_full_scale(tmp_path):
    samples = np.random.default_rng(0).normal(0, 1, (5000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 96_000, "FLOAT")
    source, frames = decode_file(tmp_path / "a.wav", tmp_path)
    np.testing.assert_array_equal(frames, samples)
    assert source.peak == np.abs(samples).max()


@pytest.mark.parametrize(("encoding", "bits"), [(PcmEncoding.S16LE, 16), (PcmEncoding.S24LE, 24)])
def test_raw_integers_come_in_exactly(tmp_path, encoding, bits):
    steps = integers(bits)
    raw = steps.astype("<i4").view(np.uint8).reshape(*steps.shape, 4)[..., : bits // 8]
    (tmp_path / "raw").write_bytes(np.ascontiguousarray(raw).tobytes())
    _, frames = decode_file(tmp_path / "raw", tmp_path, pcm=RawPcm(encoding, RATE_HZ, 2))
    np.testing.assert_array_equal(frames.astype(np.float64), steps / 2.0 ** (bits - 1))


def test_raw_floats_come_in_exactly(tmp_path):
    samples = np.random.default_rng(0).normal(0, 1, (5000, 1)).astype("<f4")
    (tmp_path / "raw").write_bytes(samples.tobytes())
    _, frames = decode_file(tmp_path / "raw", tmp_path, pcm=RawPcm(PcmEncoding.F32LE, 96_000, 1))
    np.testing.assert_array_equal(frames, samples)


def sweep(frames: int = 4 * RATE_HZ) -> np.ndarray:
    t = np.arange(frames) / RATE_HZ
    return 0.5 * np.stack([np.sin(2 * np.pi * (200 + 150 * t) * t), np.sin(2 * np.pi * 330 * t)], axis=1)


def delay_frames(late: np.ndarray, early: np.ndarray) -> int:
    """Where the cross-correlation has its peak."""
    n = len(early)
    spectrum = np.fft.rfft(late[:n, 0], 2 * n) * np.conj(np.fft.rfft(early[:, 0], 2 * n))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return lag if lag < n else lag - 2 * n


def signal_to_error_db(got: np.ndarray, samples: np.ndarray) -> float:
    """Ratio in the worst tenth of a second, away from the ends where lossy coders ring."""
    inner = samples[4410:-4410], got[4410 : len(samples) - 4410] - samples[4410:-4410]
    signal, error = (np.square(x[: len(x) // 4410 * 4410]).reshape(-1, 4410 * 2).sum(axis=1) for x in inner)
    return float(10 * np.log10(np.min(signal / error)))


def write_m4a(
    path: Path, samples: np.ndarray, codec: str, sample_format: str, options: dict | None = None
) -> None:
    with av.open(str(path), "w", format="mp4", options=options or {}) as container:
        track = container.add_stream(codec, rate=RATE_HZ, layout="stereo", format=sample_format)
        planes = np.ascontiguousarray(samples.T)
        frame = av.AudioFrame.from_ndarray(planes, format=sample_format, layout="stereo")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)


@pytest.mark.parametrize("container", ["MP3", "OGG"])
def test_lossy_files_come_in_at_their_place_and_length(tmp_path, container):
    samples = sweep()
    soundfile.write(tmp_path / "song", samples, RATE_HZ, format=container)
    source, frames = decode_file(tmp_path / "song", tmp_path)
    assert source.frames == len(samples)
    assert source.encoding.startswith(container)
    assert delay_frames(frames, samples) == 0
    assert signal_to_error_db(frames, samples) > 20


def test_aac_comes_in_at_its_place_and_length(tmp_path):
    samples = sweep()
    write_m4a(tmp_path / "song", samples.astype(np.float32), "aac", "fltp")
    source, frames = decode_file(tmp_path / "song", tmp_path)
    assert source.encoding == "M4A AAC"
    assert source.frames == len(samples)
    assert delay_frames(frames, samples) == 0
    assert signal_to_error_db(frames, samples) > 10


def test_alac_comes_in_exactly(tmp_path):
    steps = integers(16)
    write_m4a(tmp_path / "song", steps.astype(np.int16), "alac", "s16p")
    source, frames = decode_file(tmp_path / "song", tmp_path)
    np.testing.assert_array_equal(frames[: len(steps)].astype(np.float64), steps / 2.0**15)
    assert (source.encoding, source.frames) == ("M4A ALAC", len(steps))


def refuse(path: Path, tmp_path: Path, error: type[Exception], match: str, **request) -> None:
    with pytest.raises(error, match=match):
        decode_file(path, tmp_path, **request)
    assert not (tmp_path / "song.f32").exists()
    assert not (tmp_path / "song.f32.tmp").exists()


@pytest.mark.parametrize("container", ["WAV", "RF64", "AIFF"])
def test_a_cut_file_is_refused_with_both_numbers(tmp_path, container):
    path = tmp_path / "cut"
    soundfile.write(path, integers(16).astype(np.int16), RATE_HZ, "PCM_16", format=container)
    os.truncate(path, path.stat().st_size - 1000)
    promised = 70_001 * 4
    refuse(
        path,
        tmp_path,
        BadAudioError,
        f"promises {promised} bytes of samples, but {promised - 1000} are there",
    )


@pytest.mark.parametrize("container", ["FLAC", "MP3"])
def test_a_cut_compressed_file_is_refused(tmp_path, container):
    path = tmp_path / "cut"
    soundfile.write(path, sweep(), RATE_HZ, format=container)
    os.truncate(path, path.stat().st_size * 2 // 3)
    refuse(path, tmp_path, BadAudioError, f"the {container} file is .*cut short")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("missing_bytes", [1, 10_000])
def test_a_cut_ogg_is_refused(tmp_path, subtype, missing_bytes):
    path = tmp_path / "cut"
    soundfile.write(path, sweep(), 48_000, subtype, format="OGG")
    decode_file(path, tmp_path)
    (tmp_path / "song.f32").unlink()
    os.truncate(path, path.stat().st_size - missing_bytes)
    refuse(path, tmp_path, BadAudioError, "the OGG file is cut short")


def test_an_m4a_of_an_unknown_kind_is_refused(tmp_path):
    path = tmp_path / "odd"
    write_m4a(path, sweep().astype(np.float32), "aac", "fltp")
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    refuse(path, tmp_path, UnsupportedEncodingError, "a kind that is not known here; export it as AAC")


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_cut_m4a_is_refused(tmp_path, options):
    path = tmp_path / "cut"
    write_m4a(path, sweep().astype(np.float32), "aac", "fltp", options)
    os.truncate(path, path.stat().st_size * 2 // 3)
    refuse(path, tmp_path, BadAudioError, "the M4A file is")


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (b"", BadAudioError, "empty"),
        (b"%PDF-1.7 not a song", UnsupportedEncodingError, "none of the accepted kinds; send WAV"),
        (b"RIFF\x24\0\0\0WAVEfmt ", BadAudioError, "no 'data' chunk"),
        (b"fLaC" + bytes(40), BadAudioError, "FLAC file is damaged"),
        (b"\0\0\0\x20ftypM4A " + bytes(40), BadAudioError, "M4A file was never finished or is cut short"),
        (b"OggS" + bytes(40), BadAudioError, "OGG file is damaged"),
        (b"OggS\0\x02" + bytes(40), UnsupportedEncodingError, "OGG with streams of an unknown kind"),
    ],
)
def test_what_is_no_audio_is_refused_whatever_its_name(tmp_path, data, error, match):
    path = tmp_path / "song.wav"
    path.write_bytes(data)
    refuse(path, tmp_path, error, match)


def test_a_renamed_file_is_decoded_as_what_it_is(tmp_path):
    soundfile.write(tmp_path / "song.mp3", integers(16).astype(np.int16), RATE_HZ, "PCM_16", format="FLAC")
    source, _ = decode_file(tmp_path / "song.mp3", tmp_path)
    assert source.encoding == "FLAC PCM_16"


def test_zero_frames_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), RATE_HZ)
    refuse(tmp_path / "a.wav", tmp_path, BadAudioError, "0 frames")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_a_number_is_refused_with_its_place(tmp_path, value):
    samples = np.zeros((200_000, 2), dtype=np.float32)
    samples[150_000, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, "FLOAT")
    refuse(tmp_path / "a.wav", tmp_path, BadAudioError, "at frame 150000 of channel 2")


def test_three_channels_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 3)), RATE_HZ)
    refuse(tmp_path / "a.wav", tmp_path, UnsupportedEncodingError, "3 channels")


@pytest.mark.parametrize("rate_hz", [7_999, 384_001, 0, -44_100])
def test_a_rate_out_of_range_is_refused(tmp_path, rate_hz):
    (tmp_path / "raw").write_bytes(bytes(400))
    pcm = RawPcm(PcmEncoding.S16LE, rate_hz, 1)
    refuse(tmp_path / "raw", tmp_path, UnsupportedEncodingError, f"{rate_hz} frames a second", pcm=pcm)


def test_half_a_frame_of_raw_samples_is_refused(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(403))
    pcm = RawPcm(PcmEncoding.S16LE, RATE_HZ, 2)
    refuse(tmp_path / "raw", tmp_path, BadAudioError, "403 bytes.*takes 4 bytes", pcm=pcm)


def test_adpcm_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep()[:, 0], RATE_HZ, "MS_ADPCM")
    refuse(tmp_path / "a.wav", tmp_path, UnsupportedEncodingError, "MS_ADPCM")


def test_a_song_over_the_limit_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((1001, 2)), RATE_HZ)
    refuse(tmp_path / "a.wav", tmp_path, BadAudioError, "longer than 1000 frames", limits=DecodeLimits(1000))


def test_the_child_decodes_as_the_function_does(tmp_path):
    soundfile.write(tmp_path / "a.wav", integers(24).astype(np.int32) << 8, RATE_HZ, "PCM_24")
    here, frames = decode_file(tmp_path / "a.wav", tmp_path)
    there = asyncio.run(decode_in_child(DecodeRequest(str(tmp_path / "a.wav"), here.path), timeout_s=60))
    assert there == here
    with SourceFrames(there) as reread:
        np.testing.assert_array_equal(reread[:], frames)


def test_the_child_reports_an_error_as_the_function_does(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(400))
    request = DecodeRequest(
        str(tmp_path / "raw"), str(tmp_path / "song.f32"), RawPcm(PcmEncoding.S16LE, 5, 1)
    )
    with pytest.raises(UnsupportedEncodingError, match="5 frames a second"):
        asyncio.run(decode_in_child(request, timeout_s=60))


def test_a_slow_child_is_killed_and_leaves_nothing(tmp_path):
    os.mkfifo(tmp_path / "never")  # opening it for reading waits for ever
    request = DecodeRequest(str(tmp_path / "never"), str(tmp_path / "song.f32"))
    with pytest.raises(BadAudioError, match="took longer"):
        asyncio.run(decode_in_child(request, timeout_s=0.5))
    assert os.listdir(tmp_path) == ["never"]


def test_cancelling_kills_the_child(tmp_path):
    os.mkfifo(tmp_path / "slow")

    async def cancel_when_reading() -> None:
        request = DecodeRequest(str(tmp_path / "slow"), str(tmp_path / "song.f32"))
        task = asyncio.create_task(decode_in_child(request, timeout_s=60))
        # Opening the other end returns when the child has opened its own.
        writer = await asyncio.to_thread((tmp_path / "slow").open, "wb", buffering=0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(BrokenPipeError), writer:
            writer.write(b"nobody reads this")

    asyncio.run(cancel_when_reading())


def test_a_missing_file_is_no_fault_of_the_song(tmp_path):
    request = DecodeRequest(str(tmp_path / "gone"), str(tmp_path / "song.f32"))
    with pytest.raises(DecoderFailedError, match="a fault of the server"):
        asyncio.run(decode_in_child(request, timeout_s=60))


def test_a_long_song_is_decoded_in_little_memory(tmp_path):
    """Four minutes at 96 kHz stereo are 184 MB decoded; the peak stays below."""
    frames = 240 * 96_000
    with (tmp_path / "raw").open("wb") as file:
        file.truncate(frames * 4)  # sparse
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from ugosa_server.audio.decoding.decode import decode\n"
        "from ugosa_server.audio.decoding.child import DecodeRequest\n"
        "from ugosa_server.audio.formats import PcmEncoding, RawPcm\n"
        "s = decode(DecodeRequest(sys.argv[1], sys.argv[2], RawPcm(PcmEncoding.S16LE, 96000, 2)))\n"
        # Of this process alone; getrusage also counts the one that it was forked from.
        "peak_kb = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "print(s.frames, peak_kb // 1024)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "raw", tmp_path / "song.f32"],
        capture_output=True,
        text=True,
        check=True,
    )
    got_frames, peak_mb = map(int, run.stdout.split())
    (tmp_path / "song.f32").unlink()
    assert got_frames == frames
    assert peak_mb < 120
