"""The guard keeps what helps on silence that training did not see, and no network that falls silent."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.tiny_network import tiny_network
from tests.helpers.two_part_song import (
    MARKS,
    MIX,
    RATE_HZ,
    SILENT_UNTIL,
    SOURCES,
    STEMS,
    VOCALS,
    estimates_of,
)
from ugosa_server.adaptation import Outcome
from ugosa_server.adaptation.adapter_file import copy_into
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.guard import Guard
from ugosa_server.adaptation.guard_score import SourceFigures, score_db
from ugosa_server.adaptation.held_back import hold_back
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.remix import RemixPool
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.marks import Mark, MarkSet, MarkState

PLAYING = ("drums", "vocals")
HELD = hold_back(MARKS, PLAYING, RATE_HZ)
ACCOMPANIMENT = torch.from_numpy(STEMS[:VOCALS].sum(axis=0))


def silent(source, start_s, stop_s):
    return Mark(source, MarkState.SILENT, start_s * RATE_HZ, stop_s * RATE_HZ)


def leaky_stems(leakage=0.3):
    """Estimates of a network whose vocals hold a share of the accompaniment."""
    stems = STEMS.copy()
    stems[VOCALS] += leakage * STEMS[0]
    stems[0] *= 1 - leakage
    return stems


def guard_of(**options):
    return Guard(estimates_of(leaky_stems()), MARKS, HELD, RATE_HZ, 0, **options)


class LinearNetwork:
    """Gives for vocals a share of the true vocals, and of all else; the rest is drums."""

    def __init__(self, vocals, leakage):
        self.vocals, self.leakage = vocals, leakage

    def __call__(self, window, start, name):
        accompaniment = ACCOMPANIMENT[:, start : start + window.shape[-1]]
        estimates = torch.zeros(len(SOURCES), *window.shape)
        estimates[VOCALS] = self.vocals * (window - accompaniment) + self.leakage * accompaniment
        estimates[0] = window - estimates[VOCALS]
        return estimates


BASE = LinearNetwork(1.0, 0.3)


def judged(*networks):
    """The guard's verdict on a base and the networks of some epochs."""
    guard = guard_of()
    for epoch, network in enumerate((BASE, *networks)):
        guard.judge(network, {"epoch": torch.nn.Parameter(torch.tensor(float(epoch)))})
    return guard, guard.verdict(std=0.1)


def test_the_end_of_the_longest_mark_is_held_back():
    marks = MarkSet((silent("vocals", 0, 12), silent("vocals", 20, 24), silent("drums", 12, 14)))
    held = hold_back(marks, PLAYING, RATE_HZ)
    assert held.spans == {"vocals": (8 * RATE_HZ, 12 * RATE_HZ)}
    assert held.training_marks.silent("vocals") == ((0, 8 * RATE_HZ), (20 * RATE_HZ, 24 * RATE_HZ))
    assert held.training_marks.silent("drums") == marks.silent("drums")


def test_one_of_several_marks_of_like_length_is_held_back_whole():
    marks = MarkSet(tuple(silent("vocals", start, start + 3) for start in range(0, 20, 5)))
    held = hold_back(marks, PLAYING, RATE_HZ)
    assert held.spans == {"vocals": (0, 3 * RATE_HZ)}
    assert held.training_marks.silent("vocals") == marks.silent("vocals")[1:]


def test_long_silence_gives_no_more_than_12_s():
    held = hold_back(MarkSet((silent("vocals", 0, 200),)), PLAYING, RATE_HZ)
    assert held.spans == {"vocals": (188 * RATE_HZ, 200 * RATE_HZ)}


def test_silence_that_was_learned_is_not_held_back():
    marks = MarkSet((silent("vocals", 0, 40),))
    held = hold_back(marks, PLAYING, RATE_HZ).spans["vocals"]
    learned = {"vocals": [(0, held[0])]}
    assert hold_back(marks, PLAYING, RATE_HZ, learned).spans == {"vocals": held}
    more = MarkSet((*marks.marks, silent("vocals", 50, 70), silent("drums", 0, 20)))
    spans = hold_back(more, PLAYING, RATE_HZ, learned).spans
    assert spans == {"vocals": (58 * RATE_HZ, 70 * RATE_HZ), "drums": (15 * RATE_HZ, 20 * RATE_HZ)}
    all_but_a_second = {"vocals": [(0, 39 * RATE_HZ)]}
    assert hold_back(marks, PLAYING, RATE_HZ, all_but_a_second).spans == {}


def test_an_adapter_to_start_from_is_judged_and_can_be_kept():
    guard = guard_of(has_start=True)
    parameters = {"x": torch.nn.Parameter(torch.zeros(1))}
    networks = (LinearNetwork(1.0, 0.3), LinearNetwork(1.0, 0.03), LinearNetwork(1.0, 0.1))
    for number, network in enumerate(networks):
        parameters["x"].data.fill_(number)
        guard.judge(network, parameters)
    verdict = guard.verdict(1.0)
    assert (verdict.outcome, verdict.kept_epoch) == (Outcome.HELPED, 0)
    assert verdict.sentence.startswith("kept what it started from: leakage of vocals")
    assert guard.state.kept["x"].item() == 1
    guard.judge(LinearNetwork(1.0, 0.01), parameters)
    assert guard.verdict(1.0).kept_epoch == 2


def test_instruments_that_do_not_play_are_not_judged():
    assert set(HELD.spans) == {"vocals"}
    assert HELD.training_marks.silent("bass") == MARKS.silent("bass")


def test_less_leakage_with_the_source_intact_is_kept():
    guard, verdict = judged(LinearNetwork(1.0, 0.2), LinearNetwork(1.0, 0.1), LinearNetwork(1.0, 0.15))
    assert (verdict.outcome, verdict.kept_epoch) == (Outcome.HELPED, 2)
    assert guard.state.kept["epoch"] == 2
    (row,) = verdict.sources
    assert (row.source, row.held_back_s, verdict.held_back_s) == ("vocals", 2.0, 2.0)
    assert row.change_db == pytest.approx(20 * np.log10(0.1 / 0.3), abs=1e-6)
    assert guard.change_db == pytest.approx(20 * np.log10(0.15 / 0.3), abs=1e-6)  # of the last epoch
    assert judged()[0].change_db is None
    held = STEMS[0, :, SILENT_UNTIL - 2 * RATE_HZ : SILENT_UNTIL]
    power = np.square(0.3 * 0.1 * held, dtype=np.float64).mean()
    assert row.before_dbfs == pytest.approx(10 * np.log10(power), abs=1e-4)
    assert verdict.remixes_db > 3
    assert verdict.sentence.startswith(
        "kept epoch 2: leakage of vocals -9.5 dB on silence it had not seen, remixes +"
    )


@pytest.mark.parametrize("vocals", [0.0, 0.5, 0.8])
def test_network_that_falls_silent_everywhere_is_not_kept(vocals):
    guard, verdict = judged(LinearNetwork(vocals, 0.3 * vocals))
    assert (verdict.outcome, verdict.kept_epoch) == (Outcome.DID_NOT, 0)
    assert guard.state.kept == {}
    assert verdict.sources[0].change_db < -1  # less leaks, and that is not enough
    assert verdict.sentence.startswith("kept the network as it was: fine-tuning did not help this song (")


def moving(share):
    """A filter that gives to the drums a share of their estimate, taken from the vocals."""

    def apply(estimates, mix):
        filtered = estimates.clone()
        filtered[VOCALS] -= share * estimates[0]
        filtered[0] = mix - filtered[VOCALS]
        return filtered

    return apply


def test_calibration_that_helps_is_kept_behind_the_base():
    guard, _ = judged(LinearNetwork(0.5, 0.15))
    assert guard.judge_calibration(BASE, moving(0), moving(0.04 / 0.7))
    verdict = guard.verdict(std=0.1)
    assert (verdict.outcome, verdict.kept_epoch) == (Outcome.HELPED, 0)
    assert verdict.sources[0].change_db == pytest.approx(20 * np.log10(0.26 / 0.3), abs=1e-4)
    assert verdict.sentence.startswith(
        "kept the network as it was and calibrated its masks: leakage of vocals -1.2 dB"
    )


def test_calibration_adds_to_what_an_epoch_gained():
    guard, _ = judged(LinearNetwork(1.0, 0.2))
    assert guard.judge_calibration(LinearNetwork(1.0, 0.2), moving(0), moving(0.02 / 0.8))
    verdict = guard.verdict(std=0.1)
    assert verdict.sources[0].change_db == pytest.approx(20 * np.log10(0.18 / 0.3), abs=1e-4)
    assert verdict.sentence.startswith("kept epoch 1 and calibrated its masks: leakage of vocals -4.4 dB")


@pytest.mark.parametrize("share", [-0.3, 0.2 / 0.7], ids=["harm", "too good to be true"])
def test_calibration_that_is_not_believed_is_not_kept(share):
    guard, before = judged(LinearNetwork(0.5, 0.15))
    assert not guard.judge_calibration(BASE, moving(0), moving(share))
    assert guard.verdict(std=0.1) == before


class FiltersRemixes(LinearNetwork):
    """Gives remixes back better than the base, but takes from the vocals of the song itself."""

    def __call__(self, window, start, name):
        network = LinearNetwork(1.0, 0.1) if name.startswith("remix") else LinearNetwork(0.7, 0.1)
        return network(window, start, name)


def test_network_that_is_better_on_remixes_alone_is_not_kept():
    _, verdict = judged(FiltersRemixes(0, 0))
    assert verdict.outcome is Outcome.DID_NOT


def figures(own_error, rest_error):
    return SourceFigures(1, 1, own_error, 1, rest_error, np.nan, np.nan)


def test_sources_that_are_silent_together_count_as_one():
    marks = MarkSet((*(silent(source, 0, 16) for source in SOURCES[:2]), silent("vocals", 20, 36)))
    pieces = hold_back(marks, SOURCES, RATE_HZ).pieces
    assert pieces == [list(SOURCES[:2]), ["vocals"]]
    base = {name: figures(1.0, 1.0) for name in (*SOURCES[:2], "vocals")}
    after = base | {"vocals": figures(0.1, 0.1)}
    assert score_db(base, after, pieces) == pytest.approx(5)
    assert score_db(base, after, [[name] for name in base]) == pytest.approx(10 / 3)


def test_judging_twice_gives_the_same_figures():
    first, _ = judged(LinearNetwork(0.9, 0.2))
    second, _ = judged(LinearNetwork(0.9, 0.2))
    assert first.state.figures == second.state.figures


def run(options, checkpoint=None, stop_after=None):
    """Adapt under guard; return its verdict and the kept tensors."""
    network, guard = tiny_network(), guard_of()
    pool = RemixPool(estimates_of(leaky_stems()), HELD.training_marks, list(HELD.spans.values()))
    with adaptation_of(network, parse_strategy(options.strategy)) as parameters:
        for step in adapt(
            network,
            parameters,
            MIX,
            HELD.training_marks,
            options,
            0,
            checkpoint=checkpoint,
            remixes=pool,
            guard=guard,
        ):
            if step.ends_epoch and step.epoch == stop_after:
                break
        copy_into(parameters, guard.state.kept)
        kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    return guard.verdict(0.1), kept


OPTIONS = AdaptationOptions("R-L1:D", learning_rate=1e-2, epochs=6, segment_s=1.0)


def test_best_epoch_of_an_adaptation_is_what_is_kept():
    verdict, kept = run(OPTIONS)
    assert verdict.outcome is Outcome.HELPED
    assert verdict.sources[0].change_db < -1
    again, last = run(replace(OPTIONS, epochs=verdict.kept_epoch))
    assert again == verdict
    assert all(torch.equal(kept[name], last[name]) for name in kept)


def test_guard_is_resumed_with_its_figures_and_its_best_network(tmp_path):
    keys = AdaptationKeys("base", "audio", "marks", OPTIONS, 0, ("cpu",))
    whole_verdict, whole = run(OPTIONS)
    path = tmp_path / "1"
    run(OPTIONS, EpochCheckpoint(path, keys, min_interval_s=0.0), stop_after=4)
    verdict, kept = run(OPTIONS, EpochCheckpoint(tmp_path / "2", keys, path))
    assert verdict == whole_verdict
    assert all(torch.equal(kept[name], whole[name]) for name in kept)


def test_a_cancel_ends_the_judging():
    class CancelledError(Exception):
        pass

    def cancel():
        raise CancelledError

    guard = guard_of(check_cancel=cancel)
    with pytest.raises(CancelledError):
        guard.judge(BASE, {})
