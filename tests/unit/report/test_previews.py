"""An excerpt is a slice of every stem, encoded when it is told or at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ugosa_server.report.previews import Excerpt, audio_data_uri, encoding_threads

RATE_HZ = 8000
SPAN = (1300, 6100)
STEMS = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2, 10_000)).astype(np.float32)
URIS = [audio_data_uri(stem[:, SPAN[0] : SPAN[1]], RATE_HZ) for stem in STEMS]


def listen(excerpt, block_frames, stop=STEMS.shape[-1]):
    for start in range(0, stop, block_frames):
        excerpt.add(STEMS[..., start : min(start + block_frames, stop)])


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("block_frames", [7, 1000, 10_000])
def test_an_excerpt_is_a_slice_of_every_stem(block_frames, at_once):
    with encoding_threads(2) as encoders:
        excerpt = Excerpt(SPAN, RATE_HZ, encoders, at_once=at_once)
        listen(excerpt, block_frames)
        assert list(excerpt.data_uris()) == URIS
        assert list(excerpt.data_uris()) == URIS


class CountedEncoders(ThreadPoolExecutor):
    """Knows how much it was given."""

    given = 0

    def submit(self, *args, **kwargs):
        self.given += 1
        return super().submit(*args, **kwargs)


def test_at_once_is_when_the_span_has_gone_by():
    with CountedEncoders(1) as encoders:
        excerpt = Excerpt(SPAN, RATE_HZ, encoders, at_once=True)
        listen(excerpt, 100, stop=SPAN[1] - 1)
        assert encoders.given == 0
        excerpt.add(STEMS[..., SPAN[1] - 1 : SPAN[1] + 50])
        assert encoders.given == len(STEMS)
        assert list(excerpt.data_uris()) == URIS


def test_else_it_is_when_it_is_told():
    with CountedEncoders(1) as encoders:
        excerpt = Excerpt(SPAN, RATE_HZ, encoders, at_once=False)
        listen(excerpt, 100)
        assert encoders.given == 0
        excerpt.begin_encoding()
        excerpt.begin_encoding()
        assert encoders.given == len(STEMS)


def test_what_was_not_begun_when_the_run_ends_is_dropped():
    begun, go_on = threading.Event(), threading.Event()

    def encode_long():
        begun.set()
        go_on.wait()

    with encoding_threads(1) as encoders:
        encoders.submit(encode_long)
        waiting = encoders.submit(encode_long)
        begun.wait()
        # What ends the first one once the threads are being shut down: the second is cancelled by then.
        waiting.add_done_callback(lambda _: go_on.set())
    assert waiting.cancelled()
