"""Batches made ahead are those of their steps."""

import threading

import numpy as np
import pytest

from ugosa_research.training.augment import Batch
from ugosa_research.training.batches_ahead import BatchesAhead
from ugosa_server.errors import ConfigError


def numbered(step):
    return Batch(np.full((1, 4, 2, 8), step, np.float32), np.array([False]))


def test_every_step_gets_its_own_batch_wherever_it_starts():
    with BatchesAhead(numbered, 6) as batches:
        assert [int(batches(step).stems.flat[0]) for step in (2, 3, 4, 5)] == [2, 3, 4, 5]
        assert int(batches(0).stems.flat[0]) == 0  # not the one in order


def test_next_batch_is_made_ahead_and_none_after_the_last():
    made, steps = threading.Event(), []

    def recorded(step):
        steps.append(step)
        if step == 1:
            made.set()
        return numbered(step)

    with BatchesAhead(recorded, 2) as batches:
        batches(0)
        assert made.wait(10)
        batches(1)
    assert steps == [0, 1]


def test_what_went_wrong_is_raised_at_its_step():
    def failing(step):
        if step == 1:
            raise ConfigError("song 7 was not made")
        return numbered(step)

    with BatchesAhead(failing, 5) as batches:
        batches(0)
        with pytest.raises(ConfigError, match="song 7"):
            batches(1)
