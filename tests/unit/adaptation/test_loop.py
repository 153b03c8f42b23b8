"""Adaptation learns from the marks, is the same every time, and never touches the base."""

import pytest
import torch

from tests.helpers.tiny_network import first_half_silent, noise_song, tiny_network
from ugosa_server.adaptation.loop import adapt, adaptation_of, count_steps, training_segments
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.strategies import ALL_STRATEGIES, Objective, parse_strategy
from ugosa_server.errors import DivergedError
from ugosa_server.marks.activity import activity
from ugosa_server.models.checkpoints import weights_digest

SONG = noise_song(8000)  # 1 s
OPTIONS = AdaptationOptions(learning_rate=1e-2, epochs=3, segment_s=0.3)
MARKS = first_half_silent(1, len(SONG))


def adapted_digest(network, options, seed=0, song=SONG, **kwargs):
    """Adapt, and give the digest of the adapted weights and the steps."""
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        steps = list(adapt(network, parameters, song, MARKS, options, seed, **kwargs))
        return weights_digest(network.state_dict()), steps


@pytest.mark.parametrize(
    "strategy", [s for s in ALL_STRATEGIES if s.depth and s.objective is not Objective.REMIX], ids=str
)
def test_strategy_changes_only_its_parameters_until_the_end(strategy):
    network = tiny_network()
    base = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with adaptation_of(network, strategy) as parameters:
        options = AdaptationOptions(str(strategy), learning_rate=1e-2, epochs=2, segment_s=0.3)
        for _ in adapt(network, parameters, SONG, MARKS, options, seed=0):
            pass
        changed = {n for n, tensor in network.state_dict().items() if not torch.equal(tensor, base[n])}
        assert changed == set(network.trained_parameters(strategy.depth)) == set(parameters)
    assert weights_digest(network.state_dict()) == weights_digest(base)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_jobs_share_the_resident_network_tensors():
    network = tiny_network()
    addresses = {name: parameter.data_ptr() for name, parameter in network.named_parameters()}
    for name in ("P-L3:D", "P-L1:M"):
        strategy = parse_strategy(name)
        with adaptation_of(network, strategy) as parameters:
            for _ in adapt(network, parameters, SONG, MARKS, OPTIONS, seed=0):
                pass
            owned = sum(p.numel() for p in parameters.values())
            assert 0 < owned < sum(p.numel() for p in network.parameters())
            assert {n: p.data_ptr() for n, p in network.named_parameters()} == addresses


def test_base_is_restored_after_an_error_and_a_cancel():
    network = tiny_network()
    base = weights_digest(network.state_dict())
    strategy = parse_strategy("P-L1:D")

    def run(interrupt):
        with adaptation_of(network, strategy) as parameters:
            for step in adapt(network, parameters, SONG, MARKS, OPTIONS, seed=0):
                if step.step == 2:
                    assert weights_digest(network.state_dict()) != base
                    interrupt()
                    return

    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    assert weights_digest(network.state_dict()) == base
    run(lambda: None)  # a cancel: iteration stops
    assert weights_digest(network.state_dict()) == base


@pytest.mark.parametrize("strategy", ["P-L1:D", "P-L3:D", "P-L4:D", "P-L5:D"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_prefix_cache_leaves_weights_bit_identical(strategy, batch_size, tmp_path):
    options = AdaptationOptions(strategy, learning_rate=1e-2, epochs=3, segment_s=0.3, batch_size=batch_size)
    budgets = [CacheBudget(0), CacheBudget(40_000), CacheBudget(), CacheBudget(40_000, 1 << 20, tmp_path)]
    digests = {adapted_digest(tiny_network(), options, cache_budget=budget)[0] for budget in budgets}
    assert len(digests) == 1


def test_cached_split_gives_gradients_of_the_whole_network():
    network, strategy = tiny_network(), parse_strategy("P-L3:D")
    song = noise_song(2000)
    options = AdaptationOptions(learning_rate=1e-3, epochs=1, segment_s=1.0)
    with adaptation_of(network, strategy) as parameters:
        next(adapt(network, parameters, song, MARKS, options, seed=0))
        gradients = {name: parameter.grad.clone() for name, parameter in parameters.items()}
    with adaptation_of(network, strategy) as parameters:
        mix = torch.from_numpy(song.T.copy())[None]
        h = torch.from_numpy(activity(MARKS, network.config.sources, 0, 2000))[None, :, None]
        estimates = network(mix)
        loss = ((h * estimates).sum(1) - mix).abs().mean() + ((1 - h) * estimates).abs().sum(1).mean()
        loss.backward()
        for name, parameter in parameters.items():
            torch.testing.assert_close(gradients[name], parameter.grad)


def test_seed_decides_the_weights():
    first, second, other = (adapted_digest(tiny_network(), OPTIONS, seed)[0] for seed in (5, 5, 6))
    assert first == second != other


def test_marked_silence_grows_quieter():
    options = AdaptationOptions(silence_weight=20, learning_rate=3e-2, epochs=16, segment_s=0.25)
    _, steps = adapted_digest(tiny_network(), options)
    by_epoch = [step.loss for step in steps if step.ends_epoch]
    assert len(by_epoch) == 16
    assert by_epoch[-1].silence < 0.5 * by_epoch[0].silence
    assert by_epoch[-1].total < by_epoch[0].total
    for loss in by_epoch:
        assert loss.total == pytest.approx(loss.reconstruction + 20 * loss.silence, rel=1e-5)


def test_without_marks_there_is_no_silence_term():
    options = AdaptationOptions("B-L3:D", learning_rate=1e-2, epochs=1, segment_s=0.3)
    _, steps = adapted_digest(tiny_network(), options)
    assert {step.loss.silence for step in steps} == {0.0}


def test_b0_makes_no_step():
    network = tiny_network()
    base = weights_digest(network.state_dict())
    assert adapted_digest(network, AdaptationOptions("B0")) == (base, [])


def test_progress_counts_every_step_once():
    options = AdaptationOptions(learning_rate=1e-3, epochs=2, segment_s=0.3, hop_s=0.1, batch_size=2)
    _, steps = adapted_digest(tiny_network(), options)
    assert len(training_segments(8000, 8000, options).starts) == 8
    assert [step.step for step in steps] == list(range(1, 9))
    assert count_steps(8000, 8000, options) == len(steps)
    assert [step.epoch for step in steps] == [1] * 4 + [2] * 4
    assert [step.ends_epoch for step in steps] == [False, False, False, True] * 2


@pytest.mark.parametrize("n_frames", [1, 15, 2399, 2400])
def test_a_song_shorter_than_a_segment_is_one_segment(n_frames):
    _, steps = adapted_digest(tiny_network(), OPTIONS, song=noise_song(n_frames))
    assert len(steps) == OPTIONS.epochs


@pytest.mark.parametrize(
    ("n_frames", "hop_s", "starts"),
    [(10, None, (0, 4, 6)), (8, None, (0, 4)), (9, 2.0, (0, 2, 4, 5)), (3, None, (0,))],
)
def test_segments_cover_the_song_and_the_last_one_ends_with_it(n_frames, hop_s, starts):
    segments = training_segments(n_frames, 1, AdaptationOptions(segment_s=4.0, hop_s=hop_s))
    assert (segments.segment_frames, segments.starts) == (min(4, n_frames), starts)


def test_a_diverging_run_stops_and_names_the_learning_rate():
    options = AdaptationOptions(learning_rate=1e30, epochs=2, segment_s=0.3)
    with pytest.raises(DivergedError, match=r"learning_rate 1e\+30; take a smaller"):
        adapted_digest(tiny_network(), options)
