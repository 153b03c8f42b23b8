"""Validation on held-out recordings: loss at the curriculum's stage, SI-SDR of a fixed set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ugosa_research.training.cunet.mixing import MixBatch, mixed_batch
from ugosa_research.training.cunet.recipe import CunetRecipe, MixOptions
from ugosa_research.training.cunet.solos import SolosSet
from ugosa_research.training.cunet.steps import batch_loss, mix_and_context
from ugosa_server.models.cunet.front_end import magnitudes, masks_of_logits, spectrum, values, waveform
from ugosa_server.models.cunet.network import ConditionedUNet

VALIDATION_KEY = 9_000_000_000  # far from the iterations of a training
SCORED_SOURCES = 4  # most in a mix of the fixed set, as in URMP
EPS = 1e-8


@dataclass(frozen=True)
class CunetFigure:
    """Figures of one validation."""

    loss: float
    """At the stage of the curriculum; decides about stage and rate."""
    si_sdr_db: float
    """Mean over the sources of the fixed set; decides which weights are kept."""
    mix_si_sdr_db: float
    """SI-SDR of the mix itself."""


class CunetValidation:
    """Held-out examples; those of the fixed set are mixed once."""

    def __init__(self, recordings: SolosSet, recipe: CunetRecipe) -> None:
        self._recordings = recordings
        self._recipe = recipe
        ensembles = replace(
            recipe.mix, fewest_sources=min(2, recipe.mix.most_sources), extra_labels_share=0.0
        )
        self._fixed = self._batches(ensembles, SCORED_SOURCES)

    def figure(self, network: ConditionedUNet, stage: int) -> CunetFigure:
        """Score a network in evaluation mode."""
        with torch.inference_mode():
            losses = [
                float(batch_loss(network, batch, self._recipe))
                for batch in self._batches(self._recipe.mix, stage)
            ]
            scores = np.concatenate(
                [_si_sdr_db(network, batch, self._recipe) for batch in self._fixed], axis=1
            )
        return CunetFigure(float(np.mean(losses)), float(scores[0].mean()), float(scores[1].mean()))

    def _batches(self, mix: MixOptions, most_sources: int) -> list[MixBatch]:
        size = self._recipe.batch_size
        return [
            mixed_batch(
                self._recordings,
                mix,
                size,
                max(mix.fewest_sources, min(most_sources, mix.most_sources)),
                (VALIDATION_KEY, most_sources, number),
                self._recipe.seen_shape,
            )
            for number in range(max(1, self._recipe.validation_examples // size))
        ]


def _si_sdr_db(
    network: ConditionedUNet, batch: MixBatch, recipe: CunetRecipe
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """SI-SDR of the sources that sound, of the network's soft masks and of the mix: [2, N]."""
    mix, context = mix_and_context(batch, recipe)
    frames = spectrum(mix)
    heard = values(magnitudes(frames, network.config), network.config)  # at the level of training
    masks = masks_of_logits(network.mask_logits(heard, context), network.config)  # [B, K, 512, T']
    estimates = waveform(masks * frames.unsqueeze(1), mix.shape[-1]).double().cpu()  # [B, K, T]
    truth = torch.from_numpy(batch.sources).double()
    mixes = mix.double().cpu().unsqueeze(1).expand_as(truth)
    present = torch.from_numpy(batch.sources.any(axis=-1))
    rows = []
    for found in (estimates, mixes):
        t, p = truth[present], found[present]  # [N, T]
        scaled = (t * p).sum(-1, keepdim=True) / (t.square().sum(-1, keepdim=True) + EPS) * t
        rows.append(10 * torch.log10(scaled.square().sum(-1) / ((scaled - p).square().sum(-1) + EPS) + EPS))
    return np.asarray(torch.stack(rows).numpy(), np.float64)
