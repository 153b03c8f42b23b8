"""A small file that decodes to a huge one: refused at its budget, with nothing left on disk."""

import io

import numpy as np
import pytest
import soundfile

from ugosa_server.audio.decoding.child import DecodeLimits, DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.errors import BadAudioError, DiskFullError, QuotaError

RATE_HZ = 48_000
FRAMES = 600 * RATE_HZ
DECODED_BYTES = FRAMES * 2 * 4


@pytest.fixture(scope="module")
def bomb():
    """Ten minutes of silence in FLAC."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", RATE_HZ, 2, "PCM_24", format="FLAC", compression_level=1.0) as file:
        block = np.zeros((RATE_HZ, 2), np.float32)
        for _ in range(FRAMES // RATE_HZ):
            file.write(block)
    assert len(stream.getvalue()) < DECODED_BYTES / 1800
    return stream.getvalue()


@pytest.mark.parametrize(
    ("limits", "error", "words"),
    [
        (DecodeLimits(max_frames=FRAMES - 1), BadAudioError, "longest"),
        (DecodeLimits(max_frames=100_000), BadAudioError, "longest"),
        (DecodeLimits(max_bytes=1_000_000), QuotaError, "1000000 bytes"),
        (DecodeLimits(min_free_bytes=2**62), DiskFullError, "kept free"),
    ],
)
def test_a_flac_bomb_stops_at_its_budget_and_leaves_nothing(tmp_path, bomb, limits, error, words):
    song, out = tmp_path / "song", tmp_path / "out" / "audio.f32"
    out.parent.mkdir()
    song.write_bytes(bomb)
    with pytest.raises(error, match=words):
        decode(DecodeRequest(str(song), str(out), limits=limits))
    assert list(out.parent.iterdir()) == []
