"""One-shot adaptation: the resident network is fine-tuned on one song under its marks.

The method is that of Cantisani et al. 2021, or remix supervision (`remix.py`). Adapted weights live on the
network for one `with` block; then the base comes back.

Every epoch makes all observations once (each segment as it is, and pitch-shifted if asked for; as many
remixes in `R-`), in an order drawn from the seed. The same seed on the same machine gives the same weights
bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugosa_server.adaptation.adapter_file import apply_adapter, copy_into
from ugosa_server.adaptation.checkpoint import EpochCheckpoint
from ugosa_server.adaptation.guard import Guard
from ugosa_server.adaptation.objective import LossTerms, silence_aware_objective
from ugosa_server.adaptation.pitch_shift import Observation, observations, pitch_shift
from ugosa_server.adaptation.prefix_cache import CacheBudget, PrefixCache
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.ranger import Ranger
from ugosa_server.adaptation.remix import Remix, RemixPool, RemixTargets, remix_objective
from ugosa_server.adaptation.strategies import Objective, Strategy, parse_strategy
from ugosa_server.audio import SourceFrames
from ugosa_server.errors import DivergedError
from ugosa_server.marks import MarkSet
from ugosa_server.marks.activity import activity
from ugosa_server.models.device_transfer import to_device
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.separation.overlap_add import SegmentPlan

ContextReader = Callable[[int, int], NDArray[np.float32]]
"""Returns the conditioning of the model-rate frames [start, stop): [*context_shape]."""


class TrainedParameters(dict[str, nn.Parameter]):
    """Parameters that are trained, by name, and their values in the base."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Copy the values of the base; no other tensor of it changes."""
        super().__init__(parameters)
        self._base = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def restore(self) -> None:
        """Give the parameters the values of the base."""
        copy_into(self, self._base)


@contextmanager
def adaptation_of(network: SeparationNetwork, strategy: Strategy) -> Iterator[TrainedParameters]:
    """Make the strategy's parameters trainable in place; restore the base when the block ends.

    Only the trained tensors are copied, so a resident network costs no second network. No other parameter
    takes part in autograd inside or outside the block.

    Yields:
        The trainable parameters, in the network's order; none for `B0`.
    """
    trained = TrainedParameters(network.trained_parameters(strategy.depth) if strategy.depth else {})
    network.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    try:
        yield trained
    finally:
        trained.restore()
        network.requires_grad_(False)


@dataclass(frozen=True)
class AdaptationStep:
    """One optimiser step that is done."""

    epoch: int
    """Counts from 1."""
    step: int
    """Steps done in all epochs."""
    ends_epoch: bool
    """True for the last step of an epoch."""
    loss: LossTerms
    """Means over the epoch so far."""
    resumed: bool = False
    """True if an earlier attempt has made it: one such step for every epoch that is taken over."""


def training_segments(n_frames: int, sample_rate_hz: int, options: AdaptationOptions) -> SegmentPlan:
    """Return the segments of a song of `n_frames` frames that every epoch visits."""
    hop_s = options.segment_s if options.hop_s is None else options.hop_s
    frames = (max(1, round(duration_s * sample_rate_hz)) for duration_s in (options.segment_s, hop_s))
    return SegmentPlan.covering(n_frames, *frames)


def count_steps(n_frames: int, sample_rate_hz: int, options: AdaptationOptions) -> int:
    """Optimiser steps of an adaptation to `n_frames` frames at the model's rate."""
    n_segments = len(training_segments(n_frames, sample_rate_hz, options).starts)
    n_observations = n_segments * (1 + options.pitch_shifts)
    if parse_strategy(options.strategy).objective is Objective.REMIX:
        n_observations = n_segments + (n_observations if options.marks_weight else 0)
    return options.epochs * math.ceil(n_observations / options.batch_size)


def adapt(
    network: SeparationNetwork,
    parameters: Mapping[str, nn.Parameter],
    mix: SourceFrames | NDArray[np.float32],
    marks: MarkSet,
    options: AdaptationOptions,
    seed: int,
    cache_budget: CacheBudget | None = None,
    checkpoint: EpochCheckpoint | None = None,
    context: ContextReader | None = None,
    remixes: RemixPool | None = None,
    guard: Guard | None = None,
    is_enough: Callable[[int], bool] = lambda steps: False,
    start: Mapping[str, Tensor] | None = None,
) -> Iterator[AdaptationStep]:
    """Fine-tune in place, yielding after every step; to cancel, stop iterating.

    Args:
        network: on its device, inside `adaptation_of`.
        parameters: what that block yields.
        mix: the song at the model's rate, normalised, [T, C].
        marks: at that rate; strategies without marks take h = 1 in Eq. 2.
        options: validated.
        seed: seeds the order of observations, their pitches, and the remixes.
        cache_budget: for features of the frozen prefix; None = the default.
        checkpoint: takes up an earlier attempt's epochs, and keeps what is reached at the end of each.
        context: for a network that is conditioned on video; None = a network of masks is conditioned on h.
        remixes: of the song, for `R-`; it must be able to draw some.
        guard: judges the base and every epoch.
        is_enough: told the steps done, before the first and after each; True ends the adaptation there, as if
            an epoch ended.
        start: tensors of an adapter to start from, in place of those of the network; the guard judges both.

    Raises:
        DivergedError: the loss of a step is not finite.
    """
    strategy = parse_strategy(options.strategy)
    if strategy.depth is None:
        return
    sample_rate_hz = network.config.sample_rate_hz
    segments = training_segments(len(mix), sample_rate_hz, options)
    examples = _examples(segments, options, strategy, seed, remixes)
    reader = _ExampleReader(network, mix, marks, context, remixes, segments.segment_frames)
    optimiser = Ranger(parameters.values(), options.learning_rate)
    order = np.random.default_rng(seed)
    steps = count_steps(len(mix), sample_rate_hz, options)
    step = 0

    with PrefixCache(network, strategy.depth, cache_budget or CacheBudget()) as cached:

        def separate(window: Tensor, start: int, name: str) -> Tensor:  # for the guard: [C, T] -> [S, C, T]
            h = torch.ones(1, len(network.config.sources), window.shape[-1], device=reader.device)
            return cached.separate([window.to(reader.device)], [name], h, reader.contexts([start]))[0]

        has_learned = start is not None or (checkpoint is not None and checkpoint.epochs_done > 0)
        if not has_learned and is_enough(0):
            return
        if guard is not None:
            guard.judge(separate, parameters)
        if start is not None:
            apply_adapter(parameters, start)
            if guard is not None:
                guard.judge(separate, parameters)
        losses_done = checkpoint.restore(parameters, optimiser, guard) if checkpoint is not None else []
        for epoch, loss in enumerate(losses_done, start=1):
            order.permutation(len(examples))
            step += steps // options.epochs
            yield AdaptationStep(epoch, step, True, loss, resumed=True)
        if is_enough(step):
            return
        for epoch in range(len(losses_done) + 1, options.epochs + 1):
            visits = [examples[index] for index in order.permutation(len(examples))]
            batches = [visits[i : i + options.batch_size] for i in range(0, len(visits), options.batch_size)]
            sums = np.zeros(3)
            inputs = reader.read(batches[0])
            for n_batches, batch in enumerate(batches, start=1):
                terms = _objective(
                    cached.separate(inputs.mixes, batch, inputs.activity, inputs.contexts),
                    inputs,
                    strategy,
                    options,
                )
                optimiser.zero_grad()
                terms[0].backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                # A GPU still works through the step: only reading the loss waits for it.
                if n_batches < len(batches):
                    inputs = reader.read(batches[n_batches])
                values = torch.stack([term.detach() for term in terms]).cpu().double().numpy()
                if not np.isfinite(values).all():
                    raise DivergedError(
                        f"adaptation diverged: the loss is {values[0]:g} at step {step} of {steps} with "
                        f"learning_rate {options.learning_rate:g}; take a smaller learning_rate"
                    )
                sums += values
                loss = LossTerms(*(float(value) for value in sums / n_batches))
                is_whole = n_batches == len(batches)
                is_last = is_enough(step)
                ends_epoch = is_whole or is_last
                if ends_epoch and guard is not None:
                    guard.judge(separate, parameters)
                if is_whole and checkpoint is not None:
                    checkpoint.epoch_ended(parameters, optimiser, loss, guard)
                yield AdaptationStep(epoch, step, ends_epoch, loss)
                if is_last:
                    return


Example = Observation | Remix


@dataclass(frozen=True)
class _BatchInputs:
    """Inputs of one step."""

    mixes: list[Tensor]
    """B of [C, T]."""
    activity: Tensor
    """h, [B, S, T]."""
    contexts: Tensor | None
    """Conditioning on video, [B, *context_shape]."""
    remixes: list[tuple[int, RemixTargets]]
    """Targets of the examples that are remixes, with their places in the batch."""


class _ExampleReader:
    """Reads examples as inputs of the network, on its device."""

    def __init__(
        self,
        network: SeparationNetwork,
        mix: SourceFrames | NDArray[np.float32],
        marks: MarkSet,
        context: ContextReader | None,
        remixes: RemixPool | None,
        segment_frames: int,
    ) -> None:
        self.device = next(network.parameters()).device
        self._mix, self._marks, self._context = mix, marks, context
        self._sources = network.config.sources
        self._remixes, self._segment_frames = remixes, segment_frames

    def read(self, batch: Sequence[Example]) -> _BatchInputs:
        """Read the examples of a batch."""
        mixes, h, remixes = [], [], []
        for place, example in enumerate(batch):
            stop = example.start + self._segment_frames
            h.append(activity(self._marks, self._sources, example.start, stop))
            if isinstance(example, Observation):
                mixes.append(self._observed(example))
                continue
            assert self._remixes is not None
            mix, targets = self._remixes.build(example, self._segment_frames)
            mixes.append(mix)
            remixes.append((place, targets))
            h[-1][[source for added in example.added for source in added.sources]] = 1
        return _BatchInputs(
            [to_device(mix, self.device) for mix in mixes],
            to_device(np.stack(h), self.device),
            self.contexts([example.start for example in batch]),
            remixes,
        )

    def contexts(self, starts: Sequence[int]) -> Tensor | None:
        """Conditioning of segments, [B, *context_shape]."""
        if self._context is None:
            return None
        contexts = [self._context(start, start + self._segment_frames) for start in starts]
        return to_device(np.stack(contexts), self.device)

    def _observed(self, observation: Observation) -> NDArray[np.float32]:  # [C, T]
        start = observation.start
        segment = np.ascontiguousarray(self._mix[start : start + self._segment_frames].T)
        return pitch_shift(segment, observation.semitones) if observation.semitones else segment


def _objective(
    estimates: Tensor, inputs: _BatchInputs, strategy: Strategy, options: AdaptationOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the total of a batch and its two terms; those of remixes are what stands in their places.

    In `R-` every example is weighted by its kind's option.
    """
    h = inputs.activity if strategy.uses_marks else torch.ones_like(inputs.activity)
    if strategy.objective is not Objective.REMIX:
        return silence_aware_objective(estimates, torch.stack(inputs.mixes), h, options.silence_weight)
    places = [place for place, _ in inputs.remixes]
    others = [place for place in range(len(inputs.mixes)) if place not in places]
    first = second = total = estimates.new_zeros(())
    if places:
        share = len(places) / len(inputs.mixes)
        known, added = remix_objective(estimates[places], [targets for _, targets in inputs.remixes])
        first, second = first + share * known, second + share * added
        total = total + share * options.remix_weight * (known + added)
    if others:
        share = len(others) / len(inputs.mixes)
        mixes = torch.stack([inputs.mixes[place] for place in others])
        eq_2 = silence_aware_objective(estimates[others], mixes, h[others], options.silence_weight)
        first, second = first + share * eq_2[1], second + share * eq_2[2]
        total = total + share * options.marks_weight * eq_2[0]
    return total, first, second


def _examples(
    segments: SegmentPlan,
    options: AdaptationOptions,
    strategy: Strategy,
    seed: int,
    remixes: RemixPool | None,
) -> list[Example]:
    """Return what every epoch visits, as many as `count_steps` says."""
    observed: list[Example] = [*observations(segments.starts, options.pitch_shifts, seed)]
    if strategy.objective is not Objective.REMIX:
        return observed
    if remixes is None or not remixes.is_usable:
        raise ValueError(f"{strategy} needs remixes")
    random = np.random.default_rng((seed, 2))
    drawn = remixes.draw(len(segments.starts), segments.segment_frames, random)
    return [*drawn, *(observed if options.marks_weight else [])]
