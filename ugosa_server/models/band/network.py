"""Two stages, the second of which is the mean of two networks, as one differentiable network.

    v = Spleeter(y);   a = y - v;   s_i = (1 - w_i) (e_i(a) + e_vocals(a) / (S - 1)) + w_i d_i(a)

for all sources but the vocals v, with e_i what the second stage makes of the accompaniment a, d_i what the
masks of the decoder make of the spectrum of a, and w_i `BandConfig.decoder_shares`. The second
stage was trained with vocals in the mix, and what it still takes for vocals in the accompaniment belongs to
nobody in particular: the other sources share it. Two networks that differ make different errors, so that the
mean of both is better than either.

So it is with looks at the song: where stems are wanted, v is the mean of what Spleeter makes of the song and
of the same song lower and higher. A fine-tuning does with one look.

Shapes: batch B, sources S, channels C, samples T, frames K (of decoders a multiple of 64), bins F.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ugosa_server.models.band.config import OTHER_FFT_SAMPLES, VOCALS, BandConfig
from ugosa_server.models.config import Depth
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.network import SeparationNetwork
from ugosa_server.models.spleeter.config import AUDIO_CHANNELS, LAST_UP, Activation, up_channels
from ugosa_server.models.spleeter.network import SpleeterNetwork
from ugosa_server.models.spleeter.unet import Decoder, from_parities

HEAD_KERNEL = 3
FIRST_HIGH_BIN = 768  # of 1024: above 11 kHz a mask is the mean of what it is from 8 kHz on


class AccompanimentDecoder(Decoder):
    """Decoder of all sources of the accompaniment, on what Spleeter's encoder of the accompaniment gives.

    That encoder has seen thousands of real songs. The layers up are a U-Net's; a last convolution at half the
    resolution gives the logits of all sources, whose softmax are masks that add up to 1.
    """

    def __init__(self, filters: tuple[int, ...], activation: Activation, n_sources: int) -> None:
        """Make the layers for an encoder of these filters and S - 1 sources."""
        super().__init__(up_channels(filters)[:LAST_UP], activation)
        n_logits = 4 * n_sources * AUDIO_CHANNELS
        self.head = nn.Conv2d(2 * filters[0], n_logits, HEAD_KERNEL, padding=HEAD_KERNEL // 2)

    def masks(self, inputs: list[Tensor], start: int = 0) -> Tensor:
        """Return the masks of the sources, [B, S - 1, C, K, F], from `Decoder.inputs`."""
        up = self.decode(inputs, start, LAST_UP)
        logits: Tensor = self.head(torch.cat([inputs[-1], up], dim=1))
        batch, _, height, width = logits.shape
        return from_parities(logits.view(batch, -1, 4, AUDIO_CHANNELS, height, width)).softmax(dim=1)


class BandNetwork(SeparationNetwork):
    """Vocals by Spleeter, the other sources by a ConvTasNet and a decoder of Spleeter's features."""

    config: BandConfig

    def __init__(self, config: BandConfig) -> None:
        super().__init__()
        self.config = config
        self.first = SpleeterNetwork(config.first)
        self.second = ConvTasNet(config.second, shared=config.second.sources.index(VOCALS))
        self.decoder = AccompanimentDecoder(
            config.first.filters, config.first.activation, len(config.sources) - 1
        )

    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""
        vocals, masks = self._vocals_and_masks(mix)
        return self._stems(mix, vocals, self.second(mix - vocals), masks)

    def separate(self, mix: Tensor) -> Tensor:
        """Separate as `forward`, with vocals from all looks."""
        vocals, masks = self._vocals_and_masks(mix)
        others = [self.first.stems_and_features(mix, samples)[0][:, 0] for samples in OTHER_FFT_SAMPLES]
        vocals = torch.stack([vocals, *others]).mean(dim=0)
        return self._stems(mix, vocals, self.second(mix - vocals), masks)

    def frozen_part(self, mix: Tensor, depth: Depth) -> list[Tensor]:
        """Features that stay as they are of a mix [1, C, T].

        The vocals, what the second stage keeps of the accompaniment, and what comes to the first trained
        layer of the decoder; where the vocals are trained, what the first stage keeps.
        """
        if self.config.trains_vocals(depth):
            return self.first.frozen_part(mix, depth)
        stems, features = self.first.stems_and_features(mix)
        vocals = stems[:, 0].clone()  # a view would keep the other stem too
        of_second = self.second.frozen_part(mix - vocals, depth)
        return [vocals, *of_second, *self.decoder.inputs(features, self.config.first_decoder_layer(depth))]

    def trained_part(self, mix: Tensor, frozen: list[Tensor], depth: Depth) -> Tensor:
        """The rest: [B, C, T], and what stays as it is -> [B, S, C, T]."""
        if self.config.trains_vocals(depth):
            vocals = self.first.trained_part(mix, frozen, depth)[:, 0]
            estimates = self.second(mix - vocals)
            inputs = frozen[len(frozen) // 2 :]  # of the accompaniment, the last U-Net of two
        else:
            vocals, of_second, *inputs = frozen
            estimates = self.second.trained_part(mix - vocals, [of_second], depth)
        masks = self.decoder.masks(inputs, self.config.first_decoder_layer(depth))
        return self._stems(mix, vocals, estimates, masks)

    def release_memory(self) -> None:
        """Free what the second stage hands on from step to step."""
        self.second.release_memory()

    def _vocals_and_masks(self, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Vocals by the first stage's own look, and the decoder's masks: [B, C, T], [B, S - 1, C, K, F]."""
        stems, features = self.first.stems_and_features(mix)
        return stems[:, 0], self.decoder.masks(features)

    def _stems(self, mix: Tensor, vocals: Tensor, estimates: Tensor, masks: Tensor) -> Tensor:
        """Put all together: [B, C, T] twice, [B, S - 1, C, T], [B, S - 1, C, K, F] -> [B, S, C, T]."""
        spectrum = self.first.spectrum(mix - vocals)
        seen = masks[..., : spectrum.shape[-2], :]
        above = seen[..., FIRST_HIGH_BIN:].mean(dim=-1, keepdim=True)
        by_decoder = self.first.masked(seen, above, spectrum, mix.shape[-1])
        share = mix.new_tensor(self.config.decoder_shares)[:, None, None]
        others = torch.lerp(estimates, by_decoder, share)
        place = self.config.second.sources.index(VOCALS)
        return torch.cat([others[:, :place], vocals.unsqueeze(1), others[:, place:]], dim=1)
