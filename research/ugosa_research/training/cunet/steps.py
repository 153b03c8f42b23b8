"""One step of training, and all that a run has to remember between two steps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ugosa_research.cunet.targets import target_masks
from ugosa_research.training.cunet.mixing import MixBatch
from ugosa_research.training.cunet.plateau import Plateau
from ugosa_research.training.cunet.recipe import CunetRecipe
from ugosa_server.errors import ConfigError
from ugosa_server.files import replacing
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.cunet.front_end import magnitudes, spectrum, values
from ugosa_server.models.cunet.network import ConditionedUNet

EMA_WARMUP_STEPS = 10  # the average forgets the first weights fast: decay (1 + t) / (EMA_WARMUP_STEPS + t)
EPS = 1e-8
CONTEXT_PARTS = ("film.", "motion.", "visual_head.")  # of a network: what its context goes through


class CunetTraining:
    """Network, optimiser, running average, plateau and iteration."""

    def __init__(self, recipe: CunetRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network = ConditionedUNet(recipe.network).to(recipe.device)
        # bfloat16 is a seventh faster so; torch.nn.Module.to states no such overload.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shares = {"film.": recipe.film_rate_share, "visual_head.": recipe.visual_rate_share}
        parts = {
            prefix: [p for name, p in self.network.named_parameters() if name.startswith(prefix)]
            for prefix in shares
        }
        others = [p for name, p in self.network.named_parameters() if not name.startswith(tuple(shares))]
        self.optimiser = torch.optim.Adam(
            [
                {"params": others, "share": 1.0},
                *({"params": found, "share": shares[prefix]} for prefix, found in parts.items() if found),
            ],
            recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.plateau = Plateau(recipe.first_stage)
        self.iteration = 0

    def step(self, batch: MixBatch) -> Tensor:
        """One optimiser step; returns the loss, detached."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * self.plateau.learning_rate(self.recipe)
        self.network.train()
        # Dropout's and the noise's chance is the iteration's, so that a resumed run draws the same.
        torch.manual_seed((self.recipe.seed << 32) + self.iteration)
        loss = batch_loss(self.network, batch, self.recipe)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_norm)
        self.optimiser.step()
        decay = min(self.recipe.ema_decay, (1 + self.iteration) / (EMA_WARMUP_STEPS + self.iteration))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)
        self.iteration += 1
        return loss.detach()

    def start_from(self, path: Path) -> None:
        """Take the encoder and decoders of another network of these sizes; what hears a context starts anew.

        A network that has learned to tell present instruments apart (label-multiply) leaves FiLM only to
        learn who is absent.

        Raises:
            ConfigError: the file holds no network of these sizes.
        """
        _, state = load_checkpoint(path)
        own = self.network.state_dict()
        taken = {name: tensor for name, tensor in state.items() if not name.startswith(CONTEXT_PARTS)}
        if {name for name in own if not name.startswith(CONTEXT_PARTS)} != set(taken) or any(
            own[name].shape != tensor.shape for name, tensor in taken.items()
        ):
            raise ConfigError(f"{path} has no encoder and decoders of the sizes of this training")
        for name, value in own.items():
            if name in taken:
                value.copy_(taken[name])
                self.average[name].copy_(value)

    def averaged_network(self, calibration: MixBatch | None = None) -> ConditionedUNet:
        """A copy of the network with the running average as its weights, in evaluation mode.

        Args:
            calibration: what to measure the statistics of its batch norms on, if on anything.
        """
        network = ConditionedUNet(self.recipe.network)
        network.load_state_dict(self.average)
        network.to(self.recipe.device)
        if calibration is not None:
            _calibrate(network, calibration, self.recipe)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write the whole state; `path` is the old file or the whole new one."""
        saved = {
            "iteration": self.iteration,
            "plateau": asdict(self.plateau),
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        with replacing(path) as file:
            torch.save(saved, file)

    def load(self, path: Path) -> None:
        """Go on from a saved state (tensors and numbers only: no class is unpickled).

        Raises:
            ConfigError: it is no state of this network.
        """
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.plateau = Plateau(**saved["plateau"])
            for name, value in saved["average"].items():
                self.average[name].copy_(value)
            self.iteration = int(saved["iteration"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ConfigError(f"{path} is no state of this training: {error}") from error


def _calibrate(network: ConditionedUNet, batch: MixBatch, recipe: CunetRecipe) -> None:
    """Set the statistics of all batch norms to those of `batch`."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    mix, context = mix_and_context(batch, recipe)
    with torch.no_grad():
        network.mask_logits(values(magnitudes(spectrum(mix), recipe.network), recipe.network), context)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def mix_and_context(batch: MixBatch, recipe: CunetRecipe) -> tuple[Tensor, Tensor]:
    """Mixes [B, T], and what the network is told or sees [B, *context_shape], on the recipe's device."""
    context = batch.labels if batch.seen is None else batch.seen
    return torch.from_numpy(batch.mix).to(recipe.device), torch.from_numpy(context).to(recipe.device)


def batch_loss(network: ConditionedUNet, batch: MixBatch, recipe: CunetRecipe) -> Tensor:
    """Loss of a batch: Eq. 6 or Eq. 7 of every class, bin and frame, reduced over an example, then meaned."""
    mix, context = mix_and_context(batch, recipe)
    mix_magnitudes, target = targets_of(mix, batch, recipe)
    heard = values(mix_magnitudes, recipe.network)  # [B, 1, F, T']
    if network.training and recipe.crop_frames:
        start = int(torch.randint(heard.shape[-1] - recipe.crop_frames + 1, ()))
        heard, target, mix_magnitudes = (
            x[..., start : start + recipe.crop_frames] for x in (heard, target, mix_magnitudes)
        )
    narrow = network.training and recipe.precision == "bfloat16"
    with torch.autocast(recipe.device, torch.bfloat16, enabled=narrow):
        logits = network.mask_logits(heard, context).float()  # [B, K, F, T']
    losses = mask_losses(logits, target, recipe)
    if recipe.magnitude_weighted:
        weight = torch.log1p(mix_magnitudes)  # [B, F, T']
        weight = weight / (weight.mean(dim=(-2, -1), keepdim=True) + EPS)
        losses = losses * weight.unsqueeze(1)
    by_example = losses.flatten(1)
    return (by_example.sum(dim=1) if recipe.reduction == "sum" else by_example.mean(dim=1)).mean()


def targets_of(mix: Tensor, batch: MixBatch, recipe: CunetRecipe) -> tuple[Tensor, Tensor]:
    """(magnitudes of the mix [B, F, T'], masks to learn [B, K, F, T']); absent classes cost no transform."""
    mix_magnitudes = magnitudes(spectrum(mix), recipe.network)
    present = torch.from_numpy(batch.sources.any(axis=-1)).nonzero()  # [N, 2]
    target = mix_magnitudes.new_zeros((*batch.labels.shape, *mix_magnitudes.shape[1:]))
    for example, source in present.tolist():
        audio = torch.from_numpy(batch.sources[example, source]).to(recipe.device)
        found = magnitudes(spectrum(audio), recipe.network)
        target[example, source] = target_masks(
            found[None, None], mix_magnitudes[example : example + 1], recipe.network
        )[0, 0]
    return mix_magnitudes, target


def mask_losses(logits: Tensor, target: Tensor, recipe: CunetRecipe) -> Tensor:
    """Eq. 6 or Eq. 7, a bin each: [B, K, F, T'] twice -> [B, K, F, T']."""
    if recipe.loss == "smooth-l1":
        return F.smooth_l1_loss(torch.sigmoid(logits), target, reduction="none")
    weight = logits.new_tensor(recipe.positive_weight)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)
