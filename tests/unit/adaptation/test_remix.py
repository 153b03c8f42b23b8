"""Remixes are sums of known parts: what goes in is what is asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.tiny_network import tiny_network
from tests.helpers.two_part_song import (
    CELL_FRAMES,
    DRUMS,
    FRAMES,
    MARKS,
    MIX,
    RATE_HZ,
    SILENT_UNTIL,
    SOURCES,
    STEMS,
    VOCALS,
    pool_of,
)
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.loop import adapt, adaptation_of, count_steps
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.remix import (
    GAIN_DB,
    RECORDED_WEIGHT,
    RemixTargets,
    Stretch,
    remix_objective,
    stretches,
)
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.models.checkpoints import weights_digest

WINDOW = RATE_HZ
OPTIONS = AdaptationOptions("R-L3:D", learning_rate=1e-2, epochs=2, segment_s=1.0)


def silent(source, start, stop):
    return Mark(source, MarkState.SILENT, start, stop)


def draw(pool, count=24, seed=0):
    return pool.draw(count, WINDOW, np.random.default_rng(seed))


def adapted(options, checkpoint=None, stop_after=None, budget=None):
    """The digest of the weights, and the losses by epoch."""
    network = tiny_network()
    losses = []
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        for step in adapt(network, parameters, MIX, MARKS, options, 0, budget, checkpoint, remixes=pool_of()):
            if step.ends_epoch:
                losses.append(step.loss)
                if step.epoch == stop_after:
                    break
        return weights_digest(network.state_dict()), losses


def test_stretches_are_maximal_and_cover_the_song():
    marks = MarkSet((silent("bass", 0, 50), silent("vocals", 30, 60), silent("bass", 60, 70)))
    assert stretches(marks, SOURCES, 100) == [
        Stretch(0, 30, (1,)),
        Stretch(30, 50, (1, 3)),
        Stretch(50, 60, (3,)),
        Stretch(60, 70, (1,)),
        Stretch(70, 100, ()),
    ]


def test_stretches_of_as_many_marks_as_a_job_may_have_are_found():
    marks = tuple(Mark(SOURCES[1], MarkState.SILENT, 10 * i, 10 * i + 5) for i in range(20_000))
    found = stretches(MarkSet(marks), SOURCES, 200_000)
    assert [stretch.span for stretch in found[-2:]] == [(199_990, 199_995), (199_995, 200_000)]
    assert len(found) == 40_000


def test_input_is_the_exact_sum_of_the_targets():
    pool = pool_of()
    for remix in draw(pool):
        mix, targets = pool.build(remix, WINDOW)
        np.testing.assert_array_equal(mix, targets.sounds.numpy().sum(axis=0))
        window = slice(remix.start, remix.start + WINDOW)
        np.testing.assert_array_equal(targets.sounds[0].numpy(), MIX[window].T)


def test_targets_are_the_stretch_and_each_estimate_of_the_silent():
    pool = pool_of()
    for remix in draw(pool):
        assert remix.stretch == Stretch(0, SILENT_UNTIL, (1, 2, VOCALS))
        _, targets = pool.build(remix, WINDOW)
        (added,) = remix.added
        assert added.sources == (VOCALS,)
        assert GAIN_DB[0] <= 20 * np.log10(added.gain) <= GAIN_DB[1]
        expected = STEMS[VOCALS, :, added.start : added.start + WINDOW][:: -1 if added.swapped else 1]
        np.testing.assert_allclose(targets.sounds[1].numpy(), added.gain * expected, rtol=1e-6)
        assert targets.groups[0].tolist() == [1, 0, 0, 0]
        assert targets.groups[1].tolist() == [0, 0, 0, 1]
        assert sorted(targets.groups[2:4].argmax(dim=1).tolist()) == [1, 2]  # bass and other stay silent
        assert not targets.sounds[2:].any()
        assert (targets.weights == 1).all()


def test_sound_is_added_from_where_the_source_plays():
    pool = pool_of()
    for remix in draw(pool):
        start = remix.added[0].start
        playing = min(start + WINDOW, FRAMES) - max(start, SILENT_UNTIL)
        assert playing >= WINDOW // 2 - CELL_FRAMES


def test_complementary_stretches_are_recordings_and_weigh_more():
    only_drums = [silent(name, 0, SILENT_UNTIL) for name in ("bass", "other", "vocals")]
    no_drums = [silent("drums", SILENT_UNTIL, FRAMES)]
    pool = pool_of(MarkSet((*only_drums, *no_drums)))
    recorded = [remix for remix in draw(pool, 40) if remix.added[0].recorded]
    assert 5 < len(recorded) < 40
    for remix in recorded:
        mix, targets = pool.build(remix, WINDOW)
        assert set(targets.weights.tolist()) == {RECORDED_WEIGHT}
        has_drums = remix.stretch.start == 0
        assert remix.added[0].sources == ((1, 2, 3) if has_drums else (DRUMS,))
        assert remix.added[0].recorded == ((SILENT_UNTIL, FRAMES) if has_drums else (0, SILENT_UNTIL))
        np.testing.assert_allclose(targets.sounds[:2].sum(dim=0).numpy(), mix, rtol=1e-6)


def test_frames_left_out_are_in_no_example():
    left_out = (SILENT_UNTIL - 2 * RATE_HZ, SILENT_UNTIL + 2 * RATE_HZ)
    pool = pool_of(left_out=[left_out])
    for remix in draw(pool, 40):
        for start in (remix.start, remix.added[0].start):
            assert start + WINDOW <= left_out[0] + WINDOW // 2 or start >= left_out[1] - WINDOW // 2


def test_short_stretch_counts_only_where_it_is():
    marks = MarkSet((silent("vocals", 1000, 3000),))
    pool = pool_of(marks)
    for remix in draw(pool, 5):
        _, targets = pool.build(remix, WINDOW)
        assert targets.weights.sum() == 2000
        first = 1000 - remix.start
        assert (targets.weights[first : first + 2000] == 1).all()


def test_marks_need_silence_of_some_and_sound_of_others():
    assert not pool_of(MarkSet(())).is_usable
    everyone = MarkSet(tuple(silent(name, 0, 1000) for name in SOURCES))
    assert not pool_of(everyone).is_usable
    never_plays = MarkSet((silent("bass", 0, FRAMES),))
    assert not pool_of(never_plays).is_usable
    assert draw(pool_of(never_plays)) == []
    with pytest.raises(ValueError, match="R-L3:D needs remixes"):
        next(adapt(tiny_network(), {"x": torch.nn.Parameter(torch.ones(1))}, MIX, MARKS, OPTIONS, 0))


def test_objective_is_that_of_the_docstring():
    random = torch.Generator().manual_seed(0)
    estimates = torch.randn(1, 3, 2, 5, generator=random)
    sounds = torch.randn(4, 2, 5, generator=random)
    groups = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    weights = torch.tensor([0.0, 1, 1, 2, 0])
    known, added = remix_objective(estimates, [RemixTargets(groups, sounds, weights)])
    first = (weights * (estimates[0, 0] + estimates[0, 1] - sounds[0]).abs()).sum() / 10
    second = (weights * (estimates[0, 2] - sounds[1]).abs()).sum() / 10
    torch.testing.assert_close((known, added), (first, second))


def test_same_seed_draws_the_same_remixes_and_weights():
    assert draw(pool_of(), seed=1) == draw(pool_of(), seed=1) != draw(pool_of(), seed=2)
    assert adapted(OPTIONS) == adapted(OPTIONS)


def test_kept_features_of_remixes_change_no_bit():
    options = replace(OPTIONS, epochs=3, batch_size=2)
    assert adapted(options, budget=CacheBudget(0)) == adapted(options, budget=CacheBudget())


@pytest.mark.parametrize("marks_weight", [0.0, 0.5])
def test_remix_adaptation_resumes_bit_for_bit(tmp_path, marks_weight):
    options = replace(OPTIONS, epochs=3, marks_weight=marks_weight)
    keys = AdaptationKeys("base", "audio", "marks", options, 0, ("cpu",))

    def run(name, resume=None, stop_after=None):
        path = tmp_path / name
        return adapted(options, EpochCheckpoint(path, keys, resume, min_interval_s=0.0), stop_after)

    whole = run("whole")
    run("1", stop_after=2)
    assert run("2", tmp_path / "1") == whole


def test_eq_2_is_mixed_in_by_its_weight():
    n_segments = -(-FRAMES // RATE_HZ)
    assert count_steps(FRAMES, RATE_HZ, OPTIONS) == 2 * n_segments
    mixed = replace(OPTIONS, marks_weight=1.0)
    assert count_steps(FRAMES, RATE_HZ, mixed) == 4 * n_segments
    assert len({adapted(options)[0] for options in (OPTIONS, mixed, replace(mixed, marks_weight=0.1))}) == 3


def powers(network):
    """Power of the vocals in the last two seconds of their silence, and where they play."""
    with torch.no_grad():
        estimate = network(torch.from_numpy(MIX.T.copy())[None])[0, VOCALS]
    leak = estimate[:, SILENT_UNTIL - 2 * RATE_HZ : SILENT_UNTIL].square().mean()
    return float(leak), float(estimate[:, SILENT_UNTIL:].square().mean())


def test_remixes_do_not_teach_silence_everywhere_as_eq_2_does():
    held = MarkSet((silent("vocals", 0, SILENT_UNTIL - 2 * RATE_HZ), *MARKS.marks[1:]))
    pool = pool_of(held, [(SILENT_UNTIL - 2 * RATE_HZ, SILENT_UNTIL)])
    after = {}
    for name in ("P-L1:D", "R-L1:D"):
        options = AdaptationOptions(name, 1.0, learning_rate=1e-2, epochs=12, segment_s=1.0)
        network = tiny_network()
        before = powers(network)
        with adaptation_of(network, parse_strategy(name)) as parameters:
            for _ in adapt(
                network,
                parameters,
                MIX,
                held,
                options,
                0,
                remixes=pool,
            ):
                pass
            after[name] = powers(network)
    truth = float(np.square(STEMS[VOCALS, :, SILENT_UNTIL:]).mean())
    assert after["R-L1:D"][0] < 0.5 * before[0]
    assert 0.3 * truth < after["R-L1:D"][1] < 2 * truth
    assert after["P-L1:D"][1] < 0.1 * truth
