"""Hostile audio through the real upload path: each kind is INVALID_ARGUMENT, in bounded memory."""

import dataclasses
import io
import json
import struct
import subprocess
import sys

import grpc
import grpc.aio
import numpy as np
import pytest
import soundfile

from tests.helpers.api import error_info, serving, write
from tests.helpers.front import wav_bytes
from ugosa_server.audio.decoding.child import DecodeRequest
from ugosa_server.wire.ugosa.v1 import upload_service_pb2

pytestmark = pytest.mark.asyncio

RATE_HZ = 44_100
MAX_CHILD_BYTES = (
    400 * 2**20
)  # Python, NumPy, libsndfile and FFmpeg take about 100 MB before they read a byte


def wav(fmt=1, channels=2, rate_hz=RATE_HZ, bits=16, samples=bytes(4000), data_size=None, riff_size=None):
    """A WAV file whose header says what it likes."""
    block = max(1, channels * bits // 8) % 65536
    head = struct.pack("<HHIIHH", fmt, channels, rate_hz, (rate_hz * block) % 2**32, block, bits)
    data_size = len(samples) if data_size is None else data_size
    riff_size = 36 + len(samples) if riff_size is None else riff_size
    return b"".join(
        [
            b"RIFF",
            struct.pack("<I", riff_size),
            b"WAVEfmt ",
            struct.pack("<I", len(head)),
            head,
            b"data",
            struct.pack("<I", data_size),
            samples,
        ]
    )


def rf64_that_promises(data_size):
    """An RF64 file (EBU Tech 3306): 0xFFFFFFFF in the old places, 64-bit sizes in `ds64`."""
    plain = wav(data_size=2**32 - 1, riff_size=2**32 - 1).replace(b"RIFF", b"RF64", 1)
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, data_size + 72, data_size, data_size // 4, 0)
    return plain[:12] + ds64 + plain[12:]


def encoded(container, subtype, seconds=1):
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros((seconds * RATE_HZ, 2)), RATE_HZ, format=container, subtype=subtype)
    return stream.getvalue()


def with_sample(value):
    samples = np.zeros((1000, 2), "<f4")
    samples[500, 1] = value
    return wav(fmt=3, bits=32, samples=samples.tobytes())


def flac_that_promises(frames):
    """A FLAC file whose header promises any number of frames: 36 bits of STREAMINFO, at byte 21."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    data[21] = (data[21] & 0xF0) | frames >> 32
    data[22:26] = (frames & 0xFFFF_FFFF).to_bytes(4, "big")
    return bytes(data)


HOSTILE = {
    "nothing": b"",
    "one byte, as an MP3 begins": b"\xff",
    "noise": np.random.default_rng(0).bytes(100_000),
    "a header without samples": wav()[:44],
    "a size that is not there": wav(data_size=2**31),
    "a size beyond 32 bits that is not there": rf64_that_promises(2**40),
    "a huge fmt chunk": wav()[:16] + struct.pack("<I", 2**31) + wav()[20:],
    "1024 channels": wav(channels=1024, samples=bytes(2048 * 4)),
    "65535 channels": wav(channels=65_535, samples=bytes(65_535 * 2)),
    "no channels": wav(channels=0),
    "one frame a second": wav(rate_hz=1),
    "2^31 - 1 frames a second": wav(rate_hz=2**31 - 1),
    "no frames a second": wav(rate_hz=0),
    "IMA ADPCM": encoded("WAV", "IMA_ADPCM"),
    "MS ADPCM": encoded("WAV", "MS_ADPCM"),
    "GSM": wav(fmt=0x31, channels=1, bits=0, samples=bytes(65 * 4)),
    "mu-law": encoded("WAV", "ULAW"),
    "NaN": with_sample(np.nan),
    "infinity": with_sample(np.inf),
    "a cut WAV": wav_bytes()[:-1000],
    "a cut FLAC": encoded("FLAC", "PCM_16")[:-500],
    "a FLAC that promises 2^36 - 1 frames": flac_that_promises(2**36 - 1),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "a playlist for FFmpeg": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "an archive": b"PK\x03\x04" + bytes(1000),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "an ID3 tag of 256 MB": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(1000),
}


# A process of its own, so that it has no other children to count: decodes line by line, then says the most
# memory that any decoder had.
DECODE_ALL = """
import json, os, resource, subprocess, sys
for line in sys.stdin:
    command = [sys.executable, "-m", "ugosa_server.audio.decoding.decode"]
    request = json.dumps(json.loads(line) | {"parent_pid": os.getpid()})
    print(subprocess.run(command, input=request, capture_output=True, text=True, check=True).stdout)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


async def refusal(api, data):
    upload = await api.create_upload()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        [a async for a in api.uploads.WriteUpload(write(upload.upload_id, data, finish=True, size=2**20))]
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await api.uploads.GetUpload(upload_service_pb2.GetUploadRequest(upload_id=upload.upload_id))
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND
    return error_info(error.value), error.value.details()


async def test_hostile_audio_is_refused_in_words_and_leaves_nothing(tmp_path):
    async with serving(tmp_path) as api:
        for name, data in HOSTILE.items():
            (code, reason, _), message = await refusal(api, data)
            assert code is grpc.StatusCode.INVALID_ARGUMENT, name
            assert reason in ("BAD_AUDIO", "UNSUPPORTED_ENCODING"), name
            assert len(message) > 20, name
        assert list((tmp_path / "uploads").iterdir()) == []
        assert (await api.upload()).audio.frames == 4000, "and the next song is welcome"


async def test_no_hostile_file_makes_its_decoder_large(tmp_path):
    requests = []
    for number, data in enumerate([*HOSTILE.values(), wav_bytes()]):
        (tmp_path / str(number)).write_bytes(data)
        request = DecodeRequest(str(tmp_path / str(number)), str(tmp_path / f"{number}.f32"))
        requests.append(json.dumps(dataclasses.asdict(request) | {"cpu_s": 60}))
    answers = subprocess.run(
        [sys.executable, "-c", DECODE_ALL],
        input="\n".join(requests),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert ["error" in json.loads(answer) for answer in answers[:-1]] == [True] * len(HOSTILE) + [False]
    assert int(answers[-1]) < MAX_CHILD_BYTES
