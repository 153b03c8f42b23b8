"""A first encoder and decoder that already reconstruct: rectified windowed cosines on mid and side.

A ConvTasNet that starts from noise must first find a transform; one with a long frame and few filters can
start from a good one. Encoder filters come in groups of four: cosine and sine of a frequency, each with both
signs, so that what the rectifier cuts off in one filter its twin keeps. The decoder is the linear estimate of
the windowed frame from the encoder's output under a prior Sigma on music (power falling with frequency),

    D = W^2 Sigma A^T (A Sigma A^T + eps I)^-1,

with A the unsigned filters and W the window, whose squares overlap to one. Bottleneck channel 0 starts as a
constant one, from which the mask convolution (it has no bias) makes masks of about one; the decoder carries
the 1 / S. So the untrained network returns mix / S for every source and what is left to learn is to separate.
Blocks start small, so that Adam's first steps cannot drive all masks of a source below zero, where a ReLU
never learns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet

FILTERS_A_FREQUENCY = 4  # cosine and sine, each with both signs
MID_SHARE = 0.75  # of the frequencies; the side signal is weaker
LINEAR_UP_TO_HZ = 3000.0  # one frequency every 1 / frame up to here, sparser above
HIGHEST_HZ = 16000.0
SIDE_POWER = 0.25  # of the mid's, in the prior
PRIOR_KNEE_HZ = 300.0  # power falls with the square of frequency above
WHITENING = 0.8  # 1 would give all frequencies the same power in the encoder's output
RIDGE = 1e-4
MASK_SPREAD = 0.1  # of the usual first weights: small, so that the first masks stay near one


def start_from_cosines(network: ConvTasNet) -> None:
    """Set encoder, decoder and mask convolution of a stereo network in place."""
    config = network.config
    if config.audio_channels != 2 or config.encoder_filters % (2 * FILTERS_A_FREQUENCY):
        raise BadOptionError(
            f"cosines need 2 channels and a multiple of {2 * FILTERS_A_FREQUENCY} filters, got "
            f"{config.audio_channels} and {config.encoder_filters}"
        )
    analysis = analysis_filters(config)  # [N / 2, C * L]
    synthesis = synthesis_filters(config, analysis)  # [C * L, N / 2]
    encoder = np.concatenate([analysis, -analysis]).reshape(config.encoder_filters, 2, -1)
    decoder = np.concatenate([synthesis, -synthesis], axis=1)
    with torch.no_grad():
        network.encoder.conv1d_U.weight.copy_(torch.from_numpy(encoder))
        network.decoder.basis_signals.weight.copy_(torch.from_numpy(decoder))
    _start_at_equal_masks(network)


@torch.no_grad()
def _start_at_equal_masks(network: ConvTasNet) -> None:
    weights = network.state_dict()
    config = network.config
    weights["decoder.basis_signals.weight"].div_(len(config.sources))
    weights["separator.network.0.beta"].fill_(1)
    bottleneck = weights["separator.network.1.weight"]  # [B, N, 1]
    bottleneck -= bottleneck.mean(dim=1, keepdim=True)  # blind to the constant ...
    bottleneck[0] = 1 / config.encoder_filters  # ... but for channel 0, which is blind to all else
    for name, weight in weights.items():
        if name.endswith("net.3.net.3.weight"):
            weight /= (config.repeats * config.blocks_per_repeat) ** 0.5  # the residuals add up to about one
            weight[0] = 0  # no block writes to channel 0 yet
    mask = weights["separator.network.3.weight"]  # [S * N, B, 1]
    mask *= MASK_SPREAD
    mask[:, 0] = 1


def analysis_filters(config: ConvTasNetConfig) -> NDArray[np.float64]:
    """Windowed cosines and sines of mid, then of side: [N / 2, C * L].

    Filters are louder towards the highs, where music is weaker: the norm and the bottleneck that follow would
    hardly see cymbals and consonants otherwise. The decoder takes it back.
    """
    length = config.encoder_length
    window = _window(length)
    time_s = (np.arange(length) - (length - 1) / 2) / config.sample_rate_hz
    rows = []
    for of_side_hz, side in zip(frequencies_hz(config), (1.0, -1.0), strict=True):
        for frequency_hz in of_side_hz:
            phase = 2 * np.pi * frequency_hz * time_s
            loudness = (1 + (frequency_hz / PRIOR_KNEE_HZ) ** 2) ** (WHITENING / 2)
            for wave in (np.cos(phase), np.sin(phase)):
                filtered = loudness * window * wave * np.sqrt(2 / length)
                rows.append(np.concatenate([filtered, side * filtered]) / np.sqrt(2))
    return np.array(rows)


def frequencies_hz(config: ConvTasNetConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies of the filters of mid and of side."""
    n_frequencies = config.encoder_filters // FILTERS_A_FREQUENCY
    n_mid = round(MID_SHARE * n_frequencies)
    mid, side = (
        spread_frequencies_hz(count, config.encoder_length, config.sample_rate_hz)
        for count in (n_mid, n_frequencies - n_mid)
    )
    return mid, side


def synthesis_filters(config: ConvTasNetConfig, analysis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear estimate of the squared-windowed frame from the filters' output: [C * L, N / 2]."""
    length = config.encoder_length
    frequencies_hz = np.fft.rfftfreq(8 * length, 1 / config.sample_rate_hz)
    power = 1 / (1 + (frequencies_hz / PRIOR_KNEE_HZ) ** 2)
    correlation = np.fft.irfft(power)[:length]
    lags = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    one_channel = correlation[lags] / correlation[0]  # [L, L]
    same, across = (1 + SIDE_POWER) / 2, (1 - SIDE_POWER) / 2
    prior = np.kron(np.array([[same, across], [across, same]]), one_channel)  # [C * L, C * L]
    seen = analysis @ prior @ analysis.T
    seen += RIDGE * np.trace(seen) / len(seen) * np.eye(len(seen))
    estimate = np.linalg.solve(seen, analysis @ prior).T  # [C * L, N / 2]
    return np.tile(_window(length) ** 2, 2)[:, None] * estimate


def spread_frequencies_hz(count: int, length: int, sample_rate_hz: int) -> NDArray[np.float64]:
    """`count` frequencies, spaced evenly at the frame's resolution first, then evenly in their logarithm."""
    spacing_hz = sample_rate_hz / length
    n_linear = min(count - 1, int(LINEAR_UP_TO_HZ / spacing_hz))
    linear = spacing_hz * (np.arange(n_linear) + 0.5)
    return np.concatenate([linear, np.geomspace(linear[-1] + spacing_hz, HIGHEST_HZ, count - n_linear)])


def _window(length: int) -> NDArray[np.float64]:
    """Square root of a periodic Hann window: its squares overlap to one at half the length."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length)
