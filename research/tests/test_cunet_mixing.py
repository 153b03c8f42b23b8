"""Examples hold what their labels say, segments do not drift, and a batch is a function of its key."""

import dataclasses

import numpy as np
import pytest
import soundfile

from research.tests.helpers.tiny_solos import CLASSES, RATE_HZ, save_tiny_solos
from ugosa_research.training.cunet.mixing import MixBatch, mixed_batch
from ugosa_research.training.cunet.recipe import MixOptions
from ugosa_research.training.cunet.solos import (
    Recording,
    read_solos,
    split_takes,
    window_starts,
)
from ugosa_server.errors import ConfigError
from ugosa_server.models.cunet.config import WINDOW_SAMPLES


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return read_solos(save_tiny_solos(tmp_path_factory.mktemp("solos"), takes=4), CLASSES)


@pytest.mark.parametrize("same_take_share", [0.0, 1.0])
def test_labels_are_those_of_the_sources_and_sources_add_up(recordings, same_take_share):
    options = MixOptions(most_sources=3, clip=False, same_take_share=same_take_share, equaliser_db=2.0)
    batch = mixed_batch(recordings, options, 12, 3, (0, 1))
    assert np.array_equal(batch.labels, batch.sources.any(axis=-1))
    assert set(batch.labels.sum(axis=1)) == {2, 3}
    assert np.allclose(batch.sources.sum(axis=1), batch.mix, atol=1e-6)
    assert batch.sources.shape == (12, 3, WINDOW_SAMPLES)


def test_labels_that_are_all_ones_are_refused(recordings):
    batch = mixed_batch(recordings, MixOptions(most_sources=3), 4, 2, (0, 1))
    with pytest.raises(ConfigError, match="which is silent in it"):
        dataclasses.replace(batch, labels=np.ones_like(batch.labels)).checked()
    with pytest.raises(ConfigError, match="which sounds in it"):
        dataclasses.replace(batch, labels=np.zeros_like(batch.labels)).checked(extra=True)
    assert batch.checked() is batch


def test_extra_labels_add_absent_and_keep_present_instruments(recordings):
    options = MixOptions(fewest_sources=1, most_sources=2, extra_labels_share=1.0)
    batch = mixed_batch(recordings, options, 40, 1, (3,))
    sounding = batch.sources.any(axis=-1)
    assert (batch.labels >= sounding).all()
    assert (batch.labels > sounding).any()


def test_a_stage_limits_the_sources(recordings):
    batch = mixed_batch(recordings, MixOptions(most_sources=3), 30, 2, (0,))
    assert set(batch.labels.sum(axis=1)) == {2}


def test_paper_mix_is_clipped_and_code_mix_is_divided(recordings):
    loud = MixOptions(most_sources=3, gain_db=60.0)
    assert np.abs(mixed_batch(recordings, loud, 8, 3, (1,)).mix).max() == 1.0
    code = MixOptions(most_sources=3, level="peak", clip=False)
    batch = mixed_batch(recordings, code, 8, 3, (1,))
    peaks = np.abs(batch.sources).max(axis=-1) * batch.labels.sum(axis=1, keepdims=True)
    assert np.allclose(peaks, batch.labels, atol=1e-6)
    assert np.allclose(batch.sources.sum(axis=1), batch.mix, atol=1e-6)


def test_a_batch_depends_on_its_key_alone(recordings):
    options = MixOptions(most_sources=3, same_take_share=0.5, equaliser_db=3.0, gain_db=3.0)
    one, same, other = (mixed_batch(recordings, options, 2, 3, key) for key in ((1, 5), (1, 5), (1, 6)))
    assert np.array_equal(one.sources, same.sources)
    assert not np.array_equal(one.sources, other.sources)


def test_windows_start_exactly_a_window_apart_and_never_drift(tmp_path):
    """A recording whose every sample is the number of its window, hundreds of windows in."""
    n_windows = 300
    numbers = np.repeat(np.arange(n_windows, dtype=np.float32), WINDOW_SAMPLES)
    path = tmp_path / "counting.wav"
    soundfile.write(path, numbers, RATE_HZ, subtype="FLOAT")
    recording = Recording(path, "flute", "counting", len(numbers))
    starts = window_starts(recording.frames)
    assert len(starts) == n_windows
    assert set(np.diff(starts)) == {65535}
    for window in (0, 1, 150, n_windows - 1):
        assert set(recording.segment(starts[window])) == {float(window)}
    assert len(window_starts(len(numbers) - 1)) == n_windows - 1  # what is left over is no window


def test_a_take_is_wholly_in_one_split(recordings):
    training, validation = split_takes(recordings, 0.5)
    sides = [
        {member.take for members in side.by_instrument.values() for member in members}
        for side in (training, validation)
    ]
    assert sides[0].isdisjoint(sides[1])
    assert len(sides[0] | sides[1]) == 4


def test_folders_that_cannot_be_are_told(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        read_solos(tmp_path / "absent", CLASSES)
    root = save_tiny_solos(tmp_path / "a", takes=1)
    with pytest.raises(ConfigError, match="no recordings of at least 65535 samples of viola"):
        read_solos(root, (*CLASSES, "viola"))
    (root / "wav11k" / "Kazoo").mkdir()
    with pytest.raises(ConfigError, match="'Kazoo' is no instrument"):
        read_solos(root, CLASSES)
    other = tmp_path / "b" / "Flute"
    other.mkdir(parents=True)
    soundfile.write(other / "x.wav", np.zeros(100000), 44100)
    with pytest.raises(ConfigError, match="44100 Hz"):
        read_solos(tmp_path / "b", ("flute",))


def test_a_batch_is_checked_as_it_is_made():
    silent = np.zeros((1, 2, 8), np.float32)
    with pytest.raises(ConfigError):
        MixBatch(silent, silent[:, 0], np.ones((1, 2), np.float32)).checked()
