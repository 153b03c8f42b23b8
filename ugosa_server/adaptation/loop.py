"""One-shot adaptation: the resident network is fine-tuned on one song under its marks.

The method is that of Cantisani et al. 2021. Adapted weights live on the network for one `with` block; then
the base comes back.

Every epoch makes all observations once (each segment as it is, and pitch-shifted if asked for), in an order
drawn from the seed. The same seed on the same machine gives the same weights bit for bit.
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

from ugosa_server.adaptation.checkpoint import EpochCheckpoint
from ugosa_server.adaptation.objective import LossTerms, silence_aware_objective
from ugosa_server.adaptation.pitch_shift import pitch_shift
from ugosa_server.adaptation.prefix_cache import CacheBudget, PrefixCache
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.adaptation.ranger import Ranger
from ugosa_server.adaptation.strategies import Strategy, parse_strategy
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.errors import DivergedError
from ugosa_server.models.device_transfer import to_device
from ugosa_server.models.network import SeparationNetwork

MAX_SHIFT_SEMITONES = 12.0  # the authors' code

ActivityReader = Callable[[int, int], NDArray[np.float32]]
"""Returns h of the model-rate frames [start, stop): [S, n]."""

ContextReader = Callable[[int, int], NDArray[np.float32]]
"""Returns the conditioning of the model-rate frames [start, stop): [*context_shape]."""


@contextmanager
def adaptation_of(network: SeparationNetwork, strategy: Strategy) -> Iterator[dict[str, nn.Parameter]]:
    """Make the strategy's parameters trainable in place; restore the base when the block ends.

    Only the trained tensors are copied, so a resident network costs no second network. No other parameter
    takes part in autograd inside or outside the block.

    Yields:
        The trainable parameters by name, in the network's order; none for `B0`.
    """
    names = strategy.depth.trained_names(network.config) if strategy.depth else ()
    parameters = dict(network.named_parameters())
    trained = {name: parameters[name] for name in names}
    base: dict[str, Tensor] = {name: parameter.detach().clone() for name, parameter in trained.items()}
    network.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    try:
        yield trained
    finally:
        _restore(trained, base)
        network.requires_grad_(False)


@contextmanager
def restore_on_error(trained: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Restore the parameters if the block raises, so that it may be tried again."""
    before = {name: parameter.detach().to("cpu", copy=True) for name, parameter in trained.items()}
    try:
        yield
    except BaseException:
        _restore(trained, before)
        raise


def _restore(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
            parameter.grad = None


@dataclass(frozen=True)
class AdaptationStep:
    """One optimiser step that is done."""

    epoch: int
    """Counts from 1."""
    epochs: int
    """Number of epochs."""
    step: int
    """Steps done in all epochs."""
    steps: int
    """Steps of all epochs."""
    ends_epoch: bool
    """True for the last step of an epoch."""
    loss: LossTerms
    """Means over the epoch so far."""
    resumed: bool = False
    """True if an earlier attempt has made it: one such step for every epoch that is taken over."""


def segment_starts(n_frames: int, segment_frames: int, hop_frames: int) -> list[int]:
    """First frames of the segments of a song.

    The last one is moved back to end where the song ends; a song shorter than a segment is one segment.
    """
    last_start = max(0, n_frames - segment_frames)
    return [*range(0, last_start, hop_frames), last_start]


@dataclass(frozen=True)
class Observation:
    """One training example, seen once in every epoch."""

    start: int
    """First frame of the segment."""
    semitones: float
    """Pitch shift of the mix; 0 = the segment as it is."""


def observations(starts: Sequence[int], pitch_shifts: int, seed: int) -> list[Observation]:
    """Every segment as it is, and `pitch_shifts` times shifted, the same in all epochs."""
    semitones = np.random.default_rng((seed, 1)).uniform(
        -MAX_SHIFT_SEMITONES, MAX_SHIFT_SEMITONES, size=(len(starts), pitch_shifts)
    )
    return [
        Observation(start, shift)
        for start, shifts in zip(starts, semitones.tolist(), strict=True)
        for shift in (0.0, *shifts)
    ]


def count_steps(n_frames: int, sample_rate_hz: int, options: AdaptationOptions) -> int:
    """Optimiser steps of an adaptation to `n_frames` frames at the model's rate."""
    n_observations = len(_starts(n_frames, sample_rate_hz, options)) * (1 + options.pitch_shifts)
    return options.epochs * math.ceil(n_observations / options.batch_size)


def adapt(
    network: SeparationNetwork,
    parameters: Mapping[str, nn.Parameter],
    mix: SourceFrames | NDArray[np.float32],
    activity: ActivityReader,
    options: AdaptationOptions,
    seed: int,
    cache_budget: CacheBudget | None = None,
    checkpoint: EpochCheckpoint | None = None,
    context: ContextReader | None = None,
) -> Iterator[AdaptationStep]:
    """Fine-tune in place, yielding after every step; to cancel, stop iterating.

    Args:
        network: on its device, inside `adaptation_of`.
        parameters: what that block yields.
        mix: the song at the model's rate, normalised, [T, C].
        activity: h of Eq. 2; strategies without marks take 1 in its place there.
        options: validated.
        seed: seeds the order of observations, and their pitches.
        cache_budget: for features of the frozen prefix; None = the default.
        checkpoint: takes up an earlier attempt's epochs, and keeps what is reached at the end of each.
        context: for a network that is conditioned on video; None = a network of masks is conditioned on h.

    Raises:
        DivergedError: the loss of a step is not finite.
    """
    strategy = parse_strategy(options.strategy)
    if strategy.depth is None:
        return
    sample_rate_hz = network.config.sample_rate_hz
    device = next(network.parameters()).device
    examples = observations(_starts(len(mix), sample_rate_hz, options), options.pitch_shifts, seed)
    segment_frames = min(_frames(options.segment_s, sample_rate_hz), len(mix))
    optimiser = Ranger(parameters.values(), options.learning_rate)
    order = np.random.default_rng(seed)
    steps = count_steps(len(mix), sample_rate_hz, options)
    step = 0

    def mix_of(observation: Observation) -> Tensor:  # [C, T]
        start = observation.start
        segment = np.ascontiguousarray(mix[start : start + segment_frames].T)
        if observation.semitones:
            segment = pitch_shift(segment, observation.semitones)
        return to_device(segment, device)

    def inputs_of(batch: Sequence[Observation]) -> tuple[list[Tensor], Tensor]:  # B of [C, T]; [B, S, T]
        h = [activity(observation.start, observation.start + segment_frames) for observation in batch]
        return [mix_of(observation) for observation in batch], to_device(np.stack(h), device)

    def contexts_of(batch: Sequence[Observation]) -> Tensor | None:  # [B, *context_shape]
        if context is None:
            return None
        contexts = [context(observation.start, observation.start + segment_frames) for observation in batch]
        return to_device(np.stack(contexts), device)

    losses_done = checkpoint.restore(parameters, optimiser) if checkpoint is not None else []
    for epoch, loss in enumerate(losses_done, start=1):
        order.permutation(len(examples))
        step += steps // options.epochs
        yield AdaptationStep(epoch, options.epochs, step, steps, True, loss, resumed=True)
    with PrefixCache(network, strategy.depth, cache_budget or CacheBudget()) as cached:
        for epoch in range(len(losses_done) + 1, options.epochs + 1):
            visits = [examples[index] for index in order.permutation(len(examples))]
            batches = [visits[i : i + options.batch_size] for i in range(0, len(visits), options.batch_size)]
            sums = np.zeros(3)
            inputs = inputs_of(batches[0])
            for n_batches, batch in enumerate(batches, start=1):
                mixes, h = inputs
                terms = silence_aware_objective(
                    cached.separate(mixes, batch, h, contexts_of(batch)),
                    torch.stack(mixes),
                    h if strategy.uses_marks else torch.ones_like(h),
                    options.silence_weight,
                )
                optimiser.zero_grad()
                terms[0].backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                # A GPU still works through the step: only reading the loss waits for it.
                if n_batches < len(batches):
                    inputs = inputs_of(batches[n_batches])
                values = torch.stack([term.detach() for term in terms]).cpu().double().numpy()
                if not np.isfinite(values).all():
                    raise DivergedError(
                        f"adaptation diverged: the loss is {values[0]:g} at step {step} of {steps} with "
                        f"learning_rate {options.learning_rate:g}; take a smaller learning_rate"
                    )
                sums += values
                loss = LossTerms(*(float(value) for value in sums / n_batches))
                ends_epoch = n_batches == len(batches)
                if ends_epoch and checkpoint is not None:
                    checkpoint.epoch_ended(parameters, optimiser, loss)
                yield AdaptationStep(epoch, options.epochs, step, steps, ends_epoch, loss)


def _starts(n_frames: int, sample_rate_hz: int, options: AdaptationOptions) -> list[int]:
    hop_s = options.segment_s if options.hop_s is None else options.hop_s
    return segment_starts(
        n_frames, _frames(options.segment_s, sample_rate_hz), _frames(hop_s, sample_rate_hz)
    )


def _frames(duration_s: float, sample_rate_hz: int) -> int:
    return max(1, round(duration_s * sample_rate_hz))
