"""Clips of a page sound like what they are of, and together leave it below its size."""

import base64
import threading

import numpy as np
import pytest

from tests.helpers.encoded import played_clip
from ugosa_server.report.clips import (
    clip_bit_rate,
    clip_data_uri,
    clip_seconds,
    clips_bytes,
    encoding_threads,
)

RATE_HZ = 44100
BIT_RATE = 64_000


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


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000, 88200, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_clips_play_at_any_rate_with_all_channels(rate_hz, channels):
    audio = played_clip(clip_data_uri(tones(rate_hz // 4, channels, rate_hz), rate_hz, BIT_RATE))
    assert len(audio) == channels
    assert audio.shape[1] / 48_000 == pytest.approx(0.25, abs=0.03)
    assert np.abs(audio).max() > 0.3


@pytest.mark.parametrize("n_frames", [1, 2, 1151, 1153])
def test_shortest_clip_plays(n_frames):
    assert played_clip(clip_data_uri(tones(n_frames, rate_hz=48_000), 48_000, BIT_RATE)).shape[1] >= n_frames


def test_clips_are_in_place_and_in_tune():
    audio = tones(48_000, rate_hz=48_000)
    error = played_clip(clip_data_uri(audio, 48_000, BIT_RATE))[:, :48_000] - audio
    assert np.square(error).mean() < 1e-2 * np.square(audio).mean()


def test_audio_above_full_scale_is_clipped_and_does_not_wrap():
    loud = tones(48_000, rate_hz=48_000) * 4
    playable = played_clip(clip_data_uri(loud, 48_000, BIT_RATE))
    assert np.corrcoef(playable[0, :48_000], np.clip(loud[0], -1, 1))[0, 1] > 0.97


@pytest.mark.parametrize("n_clips", [1, 4, 12, 42])
def test_clips_of_a_page_fit_into_it(n_clips):
    seconds = clip_seconds(n_clips)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, round(seconds * 48_000))).astype(np.float32)
    uri = clip_data_uri(noise, 48_000, clip_bit_rate(n_clips, seconds))
    assert seconds >= 2.0
    assert n_clips * len(base64.b64decode(uri.split(",")[1])) < 1.05 * clips_bytes(n_clips)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_song_of_one_frame_has_a_clip_at_every_rate(channels):
    for rate_hz in (8_000, 48_000, 96_096, 384_000):
        uri = clip_data_uri(np.full((channels, 1), 0.5, np.float32), rate_hz, BIT_RATE)
        assert played_clip(uri).shape[0] == channels
