"""Previews are a span of every stem, sound like it, and are encoded when asked for or at once."""

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from ugosa_server.report import previews
from ugosa_server.report.previews import PreviewRecorder, audio_data_uri, encoding_threads

RATE_HZ = 44100
LOW_RATE_HZ = 8000
SPAN = (1300, 6100)
STEMS = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2, 10_000)).astype(np.float32)
URIS = [audio_data_uri(stem[:, SPAN[0] : SPAN[1]], LOW_RATE_HZ) for stem in STEMS]


def play(recorder, block_frames, stop=STEMS.shape[-1]):
    for start in range(0, stop, block_frames):
        recorder.add(STEMS[..., start : min(start + block_frames, stop)])


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("block_frames", [7, 1000, 10_000])
def test_previews_are_a_span_of_every_stem(block_frames, at_once):
    with encoding_threads(2) as encoders:
        recorder = PreviewRecorder(SPAN, LOW_RATE_HZ, encoders, at_once=at_once)
        play(recorder, block_frames)
        assert uris_of(recorder) == URIS
        assert uris_of(recorder) == URIS


def uris_of(recorder):
    return [uri.result() for uri in recorder.encode()]


class CountedEncoders(ThreadPoolExecutor):
    """Counts the tasks that it was given."""

    given = 0

    def submit(self, *args, **kwargs):
        self.given += 1
        return super().submit(*args, **kwargs)


def test_encoding_at_once_begins_when_the_span_has_gone_by():
    with CountedEncoders(1) as encoders:
        recorder = PreviewRecorder(SPAN, LOW_RATE_HZ, encoders, at_once=True)
        play(recorder, 100, stop=SPAN[1] - 1)
        assert encoders.given == 0
        recorder.add(STEMS[..., SPAN[1] - 1 : SPAN[1] + 50])
        assert encoders.given == len(STEMS)
        assert uris_of(recorder) == URIS


def test_encoding_otherwise_begins_once_when_asked_for():
    with CountedEncoders(1) as encoders:
        recorder = PreviewRecorder(SPAN, LOW_RATE_HZ, encoders, at_once=False)
        play(recorder, 100)
        assert encoders.given == 0
        recorder.encode()
        recorder.encode()
        assert encoders.given == len(STEMS)


def test_tasks_not_begun_when_the_run_ends_are_dropped():
    begun, go_on = threading.Event(), threading.Event()

    def encode_long():
        begun.set()
        go_on.wait()

    with encoding_threads(1) as encoders:
        encoders.submit(encode_long)
        waiting = encoders.submit(encode_long)
        begun.wait()
        # Ends the first one once the threads are being shut down: the second is cancelled by then.
        waiting.add_done_callback(lambda _: go_on.set())
    assert waiting.cancelled()


def tones(n_frames, channels=2, rate_hz=RATE_HZ):
    """[C, n], another chord in each channel."""
    seconds = np.arange(n_frames) / rate_hz
    chords = [[220, 277.2, 329.6], [246.9, 311.1, 370]][:channels]
    return np.float32([sum(0.2 * np.sin(2 * np.pi * f * seconds) for f in chord) for chord in chords])


def played(uri, kind):
    """The samples [C, n] and the rate of a data URI."""
    head, data = uri.split(",")
    assert head == f"data:{kind};base64"
    audio, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(data)), always_2d=True)
    return audio.T, rate_hz


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 88200, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_previews_play_at_any_rate_with_all_channels(rate_hz, channels):
    audio, played_hz = played(audio_data_uri(tones(rate_hz // 4, channels, rate_hz), rate_hz), "audio/mpeg")
    assert len(audio) == channels
    assert audio.shape[1] / played_hz == pytest.approx(0.25, abs=0.05)
    assert np.abs(audio).max() > 0.3


@pytest.mark.parametrize("n_frames", [1, 2, 1151, 1153])
def test_shortest_preview_plays(n_frames):
    audio, _ = played(audio_data_uri(tones(n_frames), RATE_HZ), "audio/mpeg")
    assert audio.shape[1] >= n_frames


def test_previews_are_in_place_and_in_tune():
    audio = tones(RATE_HZ)
    playable, _ = played(audio_data_uri(audio, RATE_HZ), "audio/mpeg")
    error = playable[:, : audio.shape[1]] - audio
    assert np.square(error).mean() < 1e-3 * np.square(audio).mean()


def test_audio_above_full_scale_is_clipped_and_does_not_wrap():
    playable, _ = played(audio_data_uri(tones(RATE_HZ) * 4, RATE_HZ), "audio/mpeg")
    clipped = np.clip(tones(RATE_HZ) * 4, -1, 1)
    assert np.corrcoef(playable[0, :RATE_HZ], clipped[0])[0, 1] > 0.99


def test_previews_without_an_mp3_encoder_are_flac(monkeypatch):
    monkeypatch.setattr(previews, "MP3_ENCODER", "no such encoder")
    audio = tones(1000)
    playable, played_hz = played(audio_data_uri(audio, 96000), "audio/flac")
    assert played_hz == 96000
    np.testing.assert_allclose(playable, audio, atol=2**-15)
