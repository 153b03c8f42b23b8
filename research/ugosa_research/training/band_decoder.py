"""Train the decoder of a `band` on what its first stage leaves of a mix, as it will meet it in use.

    loss = mean over examples and sources of sqrt(mean |M_i A - S_i|^2)

over channels, frames and the bins that the decoder sees, with M_i its mask, A the spectrum of the
accompaniment that the first stage leaves, and S_i that of the true source. The encoder is the first stage's;
both stages are frozen, and the second takes part in the validation alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ugosa_research.songs.bank.pools import STEMS
from ugosa_research.training.augment import Batch
from ugosa_research.training.training_config import TrainingConfig
from ugosa_research.training.training_state import TrainingState
from ugosa_server.errors import ConfigError
from ugosa_server.models.band.config import DECODER, SHIPPED_SHARES, VOCALS, BandConfig
from ugosa_server.models.band.network import AccompanimentDecoder, BandNetwork
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.registry import STARTER_DIR
from ugosa_server.models.spleeter.config import FFT_SAMPLES, SEEN_BINS, SpleeterConfig

OTHERS = [i for i, source in enumerate(STEMS) if source != VOCALS]
HEAD_STD = 0.02  # of the first weights of the head: masks begin near equal
BIN_POWER = 2 * 3 / 8 * FFT_SAMPLES  # mean |X|^2 of a signal of power 1 below 11 kHz, under a Hann window
POWER_EPS = 7e-6  # -51 dB below the mix; keeps the root's gradient finite at silence
LEAST_STD = 1e-3  # of the mono mean of an example, which comes at an RMS of 1


class DecoderTraining(TrainingState):
    """The decoder of a band, behind frozen stages."""

    network: AccompanimentDecoder

    def __init__(self, config: TrainingConfig) -> None:
        if config.precision != "float32" or config.augment.two_stem_share > 0:
            raise ConfigError(
                "the decoder of a band is trained in float32 on songs of all stems, but precision is "
                f"{config.precision} and two_stem_share {config.augment.two_stem_share}; set float32 and 0"
            )
        torch.manual_seed(config.seed)
        self.band = untrained_band(Path(config.start_from))
        parameters = list(self.band.decoder.requires_grad_().parameters())
        groups = [{"params": parameters, "share": 1.0}]
        super().__init__(config, self.band, groups, part=DECODER.rstrip("."))

    def learn(self, batch: Batch) -> Tensor:
        """Set the gradients; returns the loss, detached."""
        stems = torch.from_numpy(batch.stems).to(self.config.device)  # [B, S, C, T]
        with torch.no_grad():
            mix = stems.sum(dim=1)
            std = mix.mean(dim=1).std(dim=-1).clamp_min(LEAST_STD)[:, None, None]  # as in a job: 1
            mix, others = mix / std, stems[:, OTHERS] / std.unsqueeze(1)
            estimates, features = self.band.first.stems_and_features(mix)
            accompaniment = self._seen(mix - estimates[:, 0]).unsqueeze(1)  # [B, 1, C, K, F]
            targets = self._seen(others.flatten(0, 1))
            targets = targets.view(*others.shape[:2], *targets.shape[1:])  # [B, S - 1, C, K, F]
        masks = self.network.masks(features)[..., : targets.shape[-2], :]
        loss = spectral_rms_loss(masks * accompaniment, targets)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _seen(self, audio: Tensor) -> Tensor:
        """[B, C, T] -> complex [B, C, K, 1024]."""
        return self.band.first.spectrum(audio)[..., :SEEN_BINS]


def spectral_rms_loss(estimates: Tensor, targets: Tensor) -> Tensor:
    """RMS error a source and example, then their mean, on the scale of the waveform: [B, S, C, K, F] each."""
    error = torch.view_as_real(estimates - targets).square().sum(dim=-1)
    return (error.mean(dim=(-3, -2, -1)) / BIN_POWER + POWER_EPS).sqrt().mean()


def untrained_band(first_path: Path) -> BandNetwork:
    """Put both stages together, frozen, with a decoder that begins as that of the accompaniment's U-Net.

    Args:
        first_path: model of `models pull spleeter-2stems`.

    Raises:
        CheckpointError: the file is no model.
        ConfigError, BadOptionError: it is a model of another kind, or of other sources.
    """
    first, first_weights = load_checkpoint(first_path)
    second, second_weights = load_checkpoint(STARTER_DIR / "starter.safetensors")
    if not isinstance(first, SpleeterConfig):
        raise ConfigError(
            "start_from must be a model of vocals and accompaniment, such as spleeter-2stems, but "
            f"{first_path} separates {', '.join(first.sources)}"
        )
    assert isinstance(second, ConvTasNetConfig)
    band = BandNetwork(BandConfig(first, second, SHIPPED_SHARES)).eval().requires_grad_(False)
    band.first.load_state_dict(first_weights)
    band.second.load_state_dict(second_weights)
    accompaniment = band.first.unets[-1].state_dict()
    decoder = band.decoder.state_dict()
    band.decoder.load_state_dict(
        decoder | {name: accompaniment[name] for name in decoder.keys() & accompaniment}
    )
    for name, parameter in band.decoder.head.named_parameters():
        nn.init.normal_(parameter, std=HEAD_STD if name == "weight" else 0.0)
    return band
