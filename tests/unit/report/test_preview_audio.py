"""What a page lets one listen to sounds like the excerpt that it was made of."""

import base64
import io

import numpy as np
import pytest
import soundfile

from ugosa_server.report import previews as excerpt_audio
from ugosa_server.report.previews import audio_data_uri

RATE_HZ = 44100


def tones(n_frames, channels=2, rate_hz=RATE_HZ):
    """[C, n], another chord in each channel."""
    seconds = np.arange(n_frames) / rate_hz
    chords = [[220, 277.2, 329.6], [246.9, 311.1, 370]][:channels]
    return np.float32([sum(0.2 * np.sin(2 * np.pi * f * seconds) for f in chord) for chord in chords])


def heard(uri, kind):
    """The samples [C, n] and the rate of a data URI."""
    head, data = uri.split(",")
    assert head == f"data:{kind};base64"
    audio, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(data)), always_2d=True)
    return audio.T, rate_hz


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 88200, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_excerpt_plays_at_any_rate_and_keeps_channels_and_length(rate_hz, channels):
    audio, heard_hz = heard(audio_data_uri(tones(rate_hz // 4, channels, rate_hz), rate_hz), "audio/mpeg")
    assert len(audio) == channels
    assert audio.shape[1] / heard_hz == pytest.approx(0.25, abs=0.05)
    assert np.abs(audio).max() > 0.3


@pytest.mark.parametrize("n_frames", [1, 2, 1151, 1153])
def test_the_shortest_excerpt_plays(n_frames):
    audio, _ = heard(audio_data_uri(tones(n_frames), RATE_HZ), "audio/mpeg")
    assert audio.shape[1] >= n_frames


def test_an_excerpt_is_in_place_and_in_tune():
    audio = tones(RATE_HZ)
    playable, _ = heard(audio_data_uri(audio, RATE_HZ), "audio/mpeg")
    error = playable[:, : audio.shape[1]] - audio
    assert np.square(error).mean() < 1e-3 * np.square(audio).mean()


def test_what_is_above_full_scale_is_clipped_and_does_not_wrap():
    playable, _ = heard(audio_data_uri(tones(RATE_HZ) * 4, RATE_HZ), "audio/mpeg")
    clipped = np.clip(tones(RATE_HZ) * 4, -1, 1)
    assert np.corrcoef(playable[0, :RATE_HZ], clipped[0])[0, 1] > 0.99


def test_without_an_mp3_encoder_it_is_flac(monkeypatch):
    monkeypatch.setattr(excerpt_audio, "MP3_ENCODER", "no such encoder")
    audio = tones(1000)
    playable, heard_hz = heard(audio_data_uri(audio, 96000), "audio/flac")
    assert heard_hz == 96000
    np.testing.assert_allclose(playable, audio, atol=2**-15)
