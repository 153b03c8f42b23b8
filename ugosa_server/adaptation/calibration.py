"""Calibration of the masks under remix supervision, the last step of `R-`.

Some thousand numbers (`separation/calibration.py`) say in which bands a network takes a source for louder or
softer than it is in this song, and for which other source it takes it. They are learned from remixes
(`remix.py`), in which both parts are known. With R the groups of sources whose sums remixes ask for, e_g the
energy of the error of the sum of g in R after the Wiener filter, over all remixes and frames, and p_g that of
the sum itself,

    L = mean over R of 10 log10(e_g / p_g + `LEAST_ERROR`)
        + `PULL` (mean over i, f of c_i^2 + `SLOPE_PULL` mean over i, f of sum_j a_ij^2).

A number holds for a band throughout the song, so what it gains in a stretch it gains elsewhere. Only frames
count whose window lies inside the stretch. A source that is silent in an example is silent for the filter
too, as it will be under the marks.

Stretches are not used in which a source is silent that is so for less than `MIN_SILENCE_S` in all. Sources
that are in the same sums of all remixes share their numbers: nothing is known of what belongs to which of
them, so the ratio of their masks stays as the network has it.

The constants were chosen on songs that the network was trained on (research/README.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ugosa_server.adaptation.remix import RemixPool, RemixTargets
from ugosa_server.separation.calibration import BANDS, MaskCalibration, band_weights, band_width_hz
from ugosa_server.separation.wiener import detail_of, ratios_of, squares_of, wiener_grid

REMIXES = 48
MIN_SILENCE_S = 3.0  # of a source, in stretches: less tells too little about the rest of the song
STEPS = 40
WORK_STEPS = REMIXES + STEPS
LEARNING_RATE = 0.1  # of Adam for half of the steps, then falling to 0
PULL = 6.0  # dB a square neper
SLOPE_PULL = 2.0
STRENGTH = 0.5  # of what is learned that is taken: remixes are made of estimates, and ask for too much
LEAST_ERROR = 1e-3  # -30 dB
QUIET_SHARE = 1e-3  # of the energy of all groups: one with less says nothing
HOPS_A_FRAME = 4  # hops of the filter from one frame that counts to the next
BINS_A_BAND = 8  # that are looked at, where a band has more


@dataclass(frozen=True)
class _Example:
    """Spectra Z, E and Y of one remix, its estimates and its sums, in the frames and bins that count.

    The filter adds the detail D of a sum whatever its masks are. With R = Y - D, the error of a sum is
    |M Z - R|^2 = M^2 |Z|^2 - 2 M Re(Z* R) + |R|^2, over audio channels.
    """

    mix: Tensor
    """|Z|^2, [n, F]."""
    estimates: Tensor
    """|E|^2, [S, n, F]."""
    groups: Tensor
    """1 for the sources of each sum, [G, S]."""
    products: Tensor
    """Re(Z* R), [G, n, F]."""
    remainders: Tensor
    """|R|^2 over all frames and bins, [G]."""
    powers: Tensor
    """|Y|^2 over all frames and bins, [G]."""


def fit_calibration(
    separate: Callable[[Tensor], Tensor],
    pool: RemixPool,
    exponent: float,
    window_frames: int,
    seed: int,
) -> Generator[int, None, MaskCalibration | None]:
    """Learn the calibration of a network's estimates; None where no remix tells anything.

    Yields how many of `WORK_STEPS` are done.

    Args:
        separate: separates one window [C, T] at the network's scale: [S, C, T].
        pool: remixes of the song, without what is held back.
        exponent: alpha of the Wiener filter.
        window_frames: length of a remix.
        seed: of the remixes.
    """
    sample_rate_hz = pool.song.sample_rate_hz
    bins, counts = _sampled_bins(sample_rate_hz)
    examples = []
    within = pool.stretches_of_well_known(round(MIN_SILENCE_S * sample_rate_hz))
    remixes = pool.draw(REMIXES, window_frames, np.random.default_rng((seed, 4)), within)
    for number, remix in enumerate(remixes):
        yield number
        mix, targets = pool.build(remix, window_frames)
        with torch.no_grad():
            estimates = separate(torch.from_numpy(mix)).cpu()
        example = _example(torch.from_numpy(mix), estimates, targets, exponent, sample_rate_hz, bins, counts)
        if example is not None:
            examples.append(example)
    if not examples:
        return None
    bands = band_weights(sample_rate_hz, wiener_grid(sample_rate_hz).bins)[:, bins]
    sets = _told_apart(examples)
    n_sources, n_sets = sets.shape
    offsets = torch.zeros(n_sets, BANDS, requires_grad=True)
    slopes = torch.zeros(n_sets, n_sources, BANDS, requires_grad=True)
    optimiser = torch.optim.Adam([offsets, slopes], betas=(0.9, 0.95))
    for step in range(STEPS):
        yield REMIXES + step
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, 2 * (1 - step / STEPS))
        calibration = _of_sources(sets, offsets, slopes)
        pull = (
            calibration.offsets.square().mean() + SLOPE_PULL * calibration.slopes.square().sum(dim=1).mean()
        )
        loss = _error_db(calibration, examples, exponent, bands) + PULL * pull
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return _of_sources(sets, STRENGTH * offsets.detach(), STRENGTH * slopes.detach())


def _example(
    mix: Tensor,
    estimates: Tensor,
    targets: RemixTargets,
    exponent: float,
    sample_rate_hz: int,
    bins: Tensor,
    counts: Tensor,
) -> _Example | None:
    """Return the spectra of a remix, or None if nothing sounds in a whole window of the filter."""
    grid = wiener_grid(sample_rate_hz)
    hop = HOPS_A_FRAME * grid.hop_samples
    if len(targets.weights) < grid.fft_samples:
        return None
    inside = (targets.weights > 0).unfold(0, grid.fft_samples, hop).all(dim=1)  # [n]
    if not inside.any():
        return None
    window = torch.hann_window(grid.fft_samples)
    scale = counts.sqrt()

    def spectra(audio: Tensor) -> Tensor:  # [..., T] -> complex [..., n, F]
        frames = audio.unfold(-1, grid.fft_samples, hop)[..., inside, :]
        found: Tensor = scale * torch.fft.rfft(window * frames)[..., bins]
        return found

    sounds = targets.sounds.abs().amax(dim=(1, 2)) > 0
    silent = targets.groups[~sounds].sum(dim=0) > 0
    groups = targets.groups[sounds]
    sums = spectra(targets.sounds[sounds])
    if not sums.any():
        return None
    mix_spectra, estimated = spectra(mix), spectra(estimates * ~silent[:, None, None])
    squares = squares_of(estimated)
    detail = detail_of(estimated, ratios_of(squares, exponent), mix_spectra)
    rest = sums - torch.einsum("gi,icnf->gcnf", groups.to(detail), detail)
    return _Example(
        squares_of(mix_spectra.unsqueeze(0))[0],
        squares,
        groups,
        (mix_spectra.conj() * rest).real.sum(dim=1),
        squares_of(rest).sum(dim=(1, 2)),
        squares_of(sums).sum(dim=(1, 2)),
    )


def _told_apart(examples: list[_Example]) -> Tensor:
    """Return 1 for the sources of each set that some sum tells from the others, [S, sets]."""
    sums = np.unique(np.concatenate([example.groups.numpy() for example in examples]), axis=0)  # [n, S]
    _, sets = np.unique(sums, axis=1, return_inverse=True)
    return torch.from_numpy(np.eye(sets.max() + 1, dtype=np.float32)[sets.ravel()])


def _of_sources(sets: Tensor, offsets: Tensor, slopes: Tensor) -> MaskCalibration:
    """Return the numbers of sources from those of their sets, [sets, BANDS] and [sets, S, BANDS]."""
    return MaskCalibration(sets @ offsets, torch.tensordot(sets, slopes, dims=1))


def _sampled_bins(sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Return the bins that are looked at and for how many each stands, [F] each."""
    hz = np.linspace(0.0, sample_rate_hz / 2, wiener_grid(sample_rate_hz).bins)
    bins_a_band = band_width_hz(hz) / hz[1]
    places = np.floor(np.cumsum(1 / np.maximum(1.0, bins_a_band / BINS_A_BAND)))
    _, bins, counts = np.unique(places, return_index=True, return_counts=True)
    return torch.from_numpy(bins), torch.from_numpy(counts).float()


def _error_db(
    calibration: MaskCalibration, examples: list[_Example], exponent: float, bands: Tensor
) -> Tensor:
    """Return the first term of the loss."""
    errors: dict[tuple[float, ...], Tensor] = {}
    powers: dict[tuple[float, ...], float] = defaultdict(float)
    for example in examples:
        masks = calibration.masks(example.estimates, exponent, bands)
        of_sums = zip(example.groups, example.products, example.remainders, example.powers, strict=True)
        for group, product, remainder, power in of_sums:
            key = tuple(group.tolist())
            mask = masks[group > 0].sum(dim=0)
            error = (mask * (mask * example.mix - 2 * product)).sum() + remainder
            errors[key] = errors[key] + error if key in errors else error
            powers[key] += float(power)
    least = QUIET_SHARE * sum(powers.values())
    told = [
        10 * (errors[key] / power + LEAST_ERROR).log10() for key, power in powers.items() if power > least
    ]
    return torch.stack(told).mean()
