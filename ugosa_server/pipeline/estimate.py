"""A pass of any network over the song: estimates at the song's own rate.

A network of waveforms separates the song at its own rate, and its estimates are brought to the song's. A
network of masks is conditioned on the marks of every window; its masks are put on the song itself, and the
residual that they leave is one more estimate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.loop import ContextReader
from ugosa_server.jobs import RunPhase, RunProgress, RunSpec
from ugosa_server.models.cunet.conditioning import LabelContexts, VideoContexts
from ugosa_server.models.network import MaskNetwork, SeparationNetwork
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import ModelMix, estimates_at_source
from ugosa_server.pipeline.plan import separation_steps
from ugosa_server.separation.masks import FrameContexts, mask_frames, masked_stems, song_masks
from ugosa_server.separation.overlap_add import separate_in_segments

Blocks = Iterator[NDArray[np.float32]]


@dataclass
class NetworkPass:
    """One pass of the network, as its weights are now, over the song."""

    context: RunContext
    mix: ModelMix
    """The song at the network's rate, normalised."""
    segments_done: int = 0
    """Segments or windows that the network has processed."""

    def begin(self, phase: RunPhase) -> RunProgress:
        """Enter the phase of the pass."""
        steps = separation_steps(self.context.spec, self.context.config)
        return self.context.journal.begin(phase, steps)

    def progress(self) -> list[RunProgress]:
        """Events of the segments done."""
        return self.context.journal.advance(self.segments_done)

    def estimates(self) -> Blocks:
        """Yield estimates [S, C, n] of the run's stems, exactly as many frames as the song has.

        Raises:
            RunCancelledError: the run was asked to end.
        """
        context, spec, device = self.context, self.context.spec, self.context.model.device
        network, config = context.model.network, context.config
        if not isinstance(network, MaskNetwork):
            segments = separate_in_segments(
                lambda mix, start: network(mix),
                self.mix.frames,
                config.sample_rate_hz,
                spec.options.separation,
                spec.options.seed,
                device,
            )
            return estimates_at_source(self._counted(segments), self.mix, spec.source)
        assert config.mask_grid is not None
        masks = song_masks(
            network,
            self.mix.frames,
            _conditioning(context, network, len(self.mix.frames)),
            [config.sources.index(name) for name in context.ensemble.playing],
            spec.options.separation,
            spec.options.seed,
            device,
        )
        return masked_stems(
            self._counted(masks),
            context.frames,
            spec.source.sample_rate_hz,
            config.mask_grid,
            config.sample_rate_hz,
            device,
        )

    def _counted(self, segments: Blocks) -> Blocks:
        self.context.check_cancel()
        for block in segments:
            self.context.check_cancel()
            self.segments_done += 1
            yield block


def context_reader(network: SeparationNetwork, spec: RunSpec) -> ContextReader | None:
    """Return a reader of the video of training segments; None = the network takes none."""
    if not isinstance(network, MaskNetwork) or network.takes_labels:
        return None
    contexts = _video_contexts(network, spec)
    assert network.config.mask_grid is not None
    hop_samples = network.config.mask_grid.hop_samples

    def read(start: int, stop: int) -> NDArray[np.float32]:  # model-rate frames -> [*context_shape]
        first = start // hop_samples
        (only,), _ = contexts.between(first, max(first + 1, stop // hop_samples))
        return np.asarray(only, dtype=np.float32)

    return read


def _conditioning(context: RunContext, network: MaskNetwork, n_samples: int) -> FrameContexts:
    config, source = network.config, context.spec.source
    assert config.mask_grid is not None
    if not network.takes_labels:
        return _video_contexts(network, context.spec)
    return LabelContexts(
        context.ensemble.marks,
        config.sources,
        source.sample_rate_hz,
        source.frames,
        config.mask_grid,
        config.sample_rate_hz,
        mask_frames(n_samples, config.mask_grid),
    )


def _video_contexts(network: MaskNetwork, spec: RunSpec) -> VideoContexts:
    config = network.config
    assert config.mask_grid is not None
    return VideoContexts(
        spec.options.visual_frames,
        network.context_shape,
        spec.source.sample_rate_hz,
        config.sample_rate_hz / config.mask_grid.hop_samples,
    )
