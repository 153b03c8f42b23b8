"""What a network makes of a whole song, at the song's own rate: the same for every kind of network.

A network that gives waveforms separates the song at its own rate, and its estimates are brought to the
song's. A network that gives masks gets the marks with every window, its masks are put on the song itself, and
what they leave is one more estimate, the residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ugosa_server.adaptation.loop import ContextReader
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.jobs.runs import RunSpec
from ugosa_server.marks import MarkSet
from ugosa_server.marks.validate import marks_of_ensemble
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.cunet.conditioning import LabelContexts, VideoContexts
from ugosa_server.models.network import MaskNetwork, SeparationNetwork
from ugosa_server.pipeline.model_input import ModelMix, estimates_at_source, model_frames
from ugosa_server.separation.masks import FrameContexts, mask_frames, mask_plan, masked_stems, song_masks
from ugosa_server.separation.overlap_add import SegmentPlan, separate_in_segments

Blocks = Iterator[NDArray[np.float32]]


@dataclass(frozen=True)
class Ensemble:
    """Who plays in a run."""

    stems: tuple[str, ...]
    """Names of the stems to give, in order."""
    playing: tuple[str, ...]
    """Those of them that are sources of the network; the others are residuals."""
    marks: MarkSet
    """The marks, with every source that does not play silent throughout."""

    @staticmethod
    def of(spec: RunSpec, config: NetworkConfig) -> Ensemble:
        """The ensemble of a run with a network of these sizes."""
        stems = spec.stems or config.stems
        playing = tuple(name for name in stems if name in config.sources)
        marks = marks_of_ensemble(MarkSet(spec.marks), playing, config.sources, spec.source.frames)
        return Ensemble(stems, playing, marks)


def separation_steps(spec: RunSpec, config: NetworkConfig) -> int:
    """How many segments or windows the network hears in one pass over the song."""
    n_frames = model_frames(spec.source, config)
    if config.mask_grid is not None:
        return len(mask_plan(n_frames, config.sample_rate_hz, config.mask_grid, spec.separation).starts)
    return len(SegmentPlan.of(n_frames, config.sample_rate_hz, spec.separation).starts)


def song_estimates(
    network: SeparationNetwork,
    spec: RunSpec,
    frames: SourceFrames,
    mix: ModelMix,
    mix_frames: SourceFrames,
    device: torch.device,
    watched: Callable[[Blocks], Blocks],
) -> Blocks:
    """Yield estimates [S, C, n] of the run's stems, exactly as many frames as the song has.

    Args:
        network: on its device, as it is now.
        spec: the run.
        frames: the song at its own rate.
        mix: the song as the network takes it.
        mix_frames: its frames.
        device: where the network is.
        watched: passes on what the network gives, one block a segment; may raise to end it.
    """
    config = network.config
    if not isinstance(network, MaskNetwork):
        segments = separate_in_segments(
            lambda mix, start: network(mix),
            mix_frames,
            config.sample_rate_hz,
            spec.separation,
            spec.seed,
            device,
        )
        return estimates_at_source(watched(segments), mix, spec.source)
    assert config.mask_grid is not None
    ensemble = Ensemble.of(spec, config)
    rows = [config.sources.index(name) for name in ensemble.playing]
    masks = song_masks(
        network,
        mix_frames,
        _contexts(network, spec, ensemble, len(mix_frames)),
        rows,
        spec.separation,
        spec.seed,
        device,
    )
    return masked_stems(
        watched(masks), frames, spec.source.sample_rate_hz, config.mask_grid, config.sample_rate_hz, device
    )


def _contexts(network: MaskNetwork, spec: RunSpec, ensemble: Ensemble, n_samples: int) -> FrameContexts:
    config = network.config
    assert config.mask_grid is not None
    if not network.takes_labels:
        return _video_contexts(network, spec)
    return LabelContexts(
        ensemble.marks,
        config.sources,
        spec.source.sample_rate_hz,
        spec.source.frames,
        config.mask_grid,
        config.sample_rate_hz,
        mask_frames(n_samples, config.mask_grid),
    )


def _video_contexts(network: MaskNetwork, spec: RunSpec) -> VideoContexts:
    config = network.config
    assert config.mask_grid is not None
    return VideoContexts(
        spec.visual_frames,
        network.context_shape,
        spec.source.sample_rate_hz,
        config.sample_rate_hz / config.mask_grid.hop_samples,
    )


def sight_reader(network: SeparationNetwork, spec: RunSpec) -> ContextReader | None:
    """What a network that is conditioned on video sees of segments to learn from; None = it only hears."""
    if not isinstance(network, MaskNetwork) or network.takes_labels:
        return None
    contexts = _video_contexts(network, spec)
    assert network.config.mask_grid is not None
    hop_samples = network.config.mask_grid.hop_samples

    def seen(start: int, stop: int) -> NDArray[np.float32]:  # model-rate frames -> [*context_shape]
        first = start // hop_samples
        (only,), _ = contexts.between(first, max(first + 1, stop // hop_samples))
        return np.asarray(only, dtype=np.float32)

    return seen
