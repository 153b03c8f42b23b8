"""An adaptation that dies goes on at its last epoch and ends bit for bit where it would have ended."""

import errno
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.models.checkpoints import weights_digest

SONG = noise_song(12000)  # 1.5 s: 5 segments, so that LookAhead's 6 steps fall into the middle of epochs
MARKS = first_half_silent(1, len(SONG))
EPOCHS = 5
OPTIONS = AdaptationOptions(learning_rate=1e-2, epochs=EPOCHS, segment_s=0.3)
KEYS = AdaptationKeys("base", "audio", "marks", OPTIONS, 0, ("torch", "cpu"))


def run(path, resume_path=None, options=OPTIONS, keys=KEYS, stop_after=None, **settings):
    """Adapt, dying after some epochs; return the digest of the weights, and the steps."""
    network, steps = tiny_network(), []
    checkpoint = EpochCheckpoint(path, keys, resume_path, **{"min_interval_s": 0.0, **settings})
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        for step in adapt(network, parameters, SONG, MARKS, options, seed=0, checkpoint=checkpoint):
            steps.append(step)
            if step.ends_epoch and step.epoch == stop_after:
                break
        return weights_digest(network.state_dict()), steps


@pytest.mark.parametrize("strategy", ["P-L3:D", "B-L1:3"])
def test_resumed_adaptation_is_bit_identical_at_any_epoch(tmp_path, strategy, no_writing_share):
    options = replace(OPTIONS, strategy=strategy, batch_size=2, pitch_shifts=1)
    keys = replace(KEYS, options=options)
    expected, whole = run(tmp_path / "whole", options=options, keys=keys)
    for epoch in range(1, EPOCHS + 1):
        run(tmp_path / "1", options=options, keys=keys, stop_after=epoch)
        digest, steps = run(tmp_path / "2", tmp_path / "1", options=options, keys=keys)
        assert digest == expected
        assert [step.epoch for step in steps if step.resumed] == list(range(1, epoch + 1))
        assert [s for s in steps if not s.resumed] == [s for s in whole if s.epoch > epoch]
        losses = [step.loss for step in steps if step.ends_epoch]
        assert losses == [step.loss for step in whole if step.ends_epoch]
        assert (tmp_path / "2").exists() is (epoch < EPOCHS)
        (tmp_path / "2").unlink(missing_ok=True)


def test_adaptation_resumed_twice_is_bit_identical(tmp_path, no_writing_share):
    expected, _ = run(tmp_path / "whole")
    run(tmp_path / "1", stop_after=1)
    run(tmp_path / "2", tmp_path / "1", stop_after=3)
    digest, steps = run(tmp_path / "3", tmp_path / "2")
    assert digest == expected
    assert [step.epoch for step in steps if step.resumed] == [1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"base_sha256": "other"},
        {"audio_sha256": "other"},
        {"marks_sha256": "other"},
        {"options": replace(OPTIONS, learning_rate=1e-3)},
        {"seed": 1},
        {"machine": ("torch", "cuda:0")},
    ],
)
def test_file_of_another_adaptation_is_ignored(tmp_path, change):
    run(tmp_path / "1", stop_after=2)
    assert EpochCheckpoint(tmp_path / "2", KEYS, tmp_path / "1").epochs_done > 0
    assert EpochCheckpoint(tmp_path / "2", replace(KEYS, **change), tmp_path / "1").epochs_done == 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "1"
    run(path, stop_after=1)
    return path.read_bytes()


@given(data=st.data())
def test_cut_or_damaged_file_is_ignored_or_read_whole(kept, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "1"
    damaged = bytearray(kept[: data.draw(st.integers(0, len(kept)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, min(len(damaged), 2000) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    checkpoint = EpochCheckpoint(path.with_name("2"), KEYS, path)
    assert checkpoint.epochs_done in (0, 1)
    if checkpoint.epochs_done:
        assert len(damaged) == len(kept)


def test_short_epochs_are_not_slowed_down_by_writing(tmp_path):
    now_s = 0.0

    def clock():
        nonlocal now_s
        now_s += 0.5  # every write takes half a second, every epoch another half
        return now_s

    writes = []
    path = tmp_path / "1"
    network = tiny_network()
    options = replace(OPTIONS, epochs=40)
    checkpoint = EpochCheckpoint(path, replace(KEYS, options=options), now_s=clock)
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        for step in adapt(network, parameters, SONG, MARKS, options, seed=0, checkpoint=checkpoint):
            if step.ends_epoch and path.exists():
                writes.append(step.epoch)
                path.unlink()
    assert writes[0] == 1
    assert 0.5 * len(writes) <= 0.1 * now_s + 0.5


def test_full_disk_costs_the_file_and_not_the_adaptation(tmp_path, monkeypatch):
    expected, _ = run(tmp_path / "whole")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    digest, _ = run(tmp_path / "1")
    assert digest == expected
    assert not list(tmp_path.glob("1*"))


@pytest.fixture
def no_writing_share(monkeypatch):
    """Keep every epoch, however long the writing takes."""
    monkeypatch.setattr("ugosa_server.adaptation.checkpoint.MAX_WRITING_SHARE", float("inf"))
