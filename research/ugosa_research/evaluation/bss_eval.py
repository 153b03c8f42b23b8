"""BSS Eval v4: SDR, ISR, SIR and SAR by windows, with distortion filters that hold for the whole song.

An estimate s of the true image t_j is split into t_j + e_spat + e_interf + e_artif: t_j + e_spat is its
projection on delayed versions (0 to 511 samples) of t_j's channels, t_j + e_spat + e_interf the one on
those of all true images, and the rest is artefacts. Then, with energies over a window,

    SDR = |t_j|^2 / |e_spat + e_interf + e_artif|^2        ISR = |t_j|^2 / |e_spat|^2
    SIR = |t_j + e_spat|^2 / |e_interf|^2                  SAR = |t_j + e_spat + e_interf|^2 / |e_artif|^2

(Vincent, Gribonval, Fevotte 2006; Vincent et al. 2012 for ISR; Stoeter, Liutkus, Ito 2018 for v4, whose
filters are those of the whole song, applied to each window as if it stood alone.)

`museval` is the oracle in the tests. Three things differ, none of which touches SDR:

- A window counts for every source that sounds in it. museval leaves a window out when *any* source or
  estimate is silent there; in the paper's experiment, where some source is silent at any time, that is
  nearly all.
- The filters are regularised. Stems from lossy files, MUSDB18's among them, have nothing above 16 kHz; the
  least-squares filters for an estimate that has something there are huge, and the edges of a cut window,
  which are broadband, come out as interference and artefacts of the size of the signal. A load of -70 dB of
  the mean power mends that, and changes nothing that can be heard of stems that fill the band.
- One factorisation per song serves all methods that are judged on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

FILTER_LENGTH = 512  # taps; BSS Eval's default
LOAD = 1e-7  # of the mean power of the images' channels; museval has 2e-16, of full scale
Array = NDArray[np.float64]


@dataclass(frozen=True)
class BssScores:
    """Metrics in dB by source and window, `[S, W]` each; NaN where source or estimate is silent."""

    sdr: Array
    """Signal to distortion."""
    isr: Array
    """Image to spatial distortion."""
    sir: Array
    """Source to interference."""
    sar: Array
    """Sources to artefacts."""


class BssReference:
    """True images of one song, ready to judge estimates of them."""

    def __init__(self, images: Array, load: float = LOAD, filter_length: int = FILTER_LENGTH) -> None:
        """Factorise the correlations of images `[S, T, C]`.

        Silent images are left out of what estimates are projected on; museval cannot take them at all.

        Args:
            images: the true stems.
            load: regularisation of the filters, a share of the mean power; 0 for images that fill the band.
            filter_length: taps of a filter.
        """
        self.images = images
        self._length = filter_length
        self._n_fft = scipy.fft.next_fast_len(images.shape[1] + filter_length - 1, real=True)
        self._sounding = np.flatnonzero(images.any(axis=(1, 2)))
        channels = images[self._sounding].transpose(0, 2, 1).reshape(-1, images.shape[1])  # [S' C, T]
        self._spectra = scipy.fft.rfft(channels, self._n_fft)
        gram = self._gram()
        if len(gram):
            gram[np.diag_indices_from(gram)] += load * float(gram.diagonal().mean())
        width = images.shape[2] * filter_length
        blocks = [slice(k, k + width) for k in range(0, len(gram), width)]
        self._own = [_factorised(gram[block, block].copy()) for block in blocks]
        self._all = _factorised(gram)

    def score(self, estimates: Array, windows: Iterable[slice]) -> BssScores:
        """Judge estimates `[S, T, C]` of the images."""
        if estimates.shape != self.images.shape:
            raise ValueError(f"estimates have shape {estimates.shape}, but the images {self.images.shape}")
        filters = {int(source): self._filters(k, estimates) for k, source in enumerate(self._sounding)}
        columns = [self._score_window(filters, estimates, window) for window in windows]
        return BssScores(*np.stack(columns, axis=-1))

    def _gram(self) -> Array:
        """<delayed channel a, delayed channel b> of all channels and delays: `[S' C L, S' C L]`."""
        length, n = self._length, len(self._spectra)
        gram = np.empty((n * length, n * length))
        for a in range(n):
            for b in range(a, n):
                lags = scipy.fft.irfft(self._spectra[a].conj() * self._spectra[b], self._n_fft)
                # row i, column j: sum_n x_a(n - i) x_b(n - j) = r(i - j), r the correlation at a lag
                block = scipy.linalg.toeplitz(lags[:length], np.r_[lags[0], lags[-1:-length:-1]])
                gram[a * length : (a + 1) * length, b * length : (b + 1) * length] = block
                gram[b * length : (b + 1) * length, a * length : (a + 1) * length] = block.T
        return gram

    def _filters(self, k: int, estimates: Array) -> tuple[Array, Array]:
        """Filters of the k-th sounding source: from its own channels `[C, C, L]`, from all `[S' C, C, L]`."""
        spectra = scipy.fft.rfft(estimates[self._sounding[k]].T, self._n_fft)  # [C, F]
        channels = len(spectra)
        lags = np.empty((len(self._spectra), channels, self._length))
        for row, channel in zip(
            lags, self._spectra, strict=True
        ):  # one at a time: a spectrum is a whole song
            for values, spectrum in zip(row, spectra, strict=True):
                values[:] = scipy.fft.irfft(channel.conj() * spectrum, self._n_fft)[: self._length]
        from_all = _solved(self._all, lags)
        own = _solved(self._own[k], lags[k * channels : (k + 1) * channels])
        return own, from_all

    def _score_window(
        self, filters: dict[int, tuple[Array, Array]], estimates: Array, window: slice
    ) -> Array:
        """SDR, ISR, SIR, SAR of one window, `[4, S]`."""
        scores = np.full((4, len(self.images)), np.nan)
        images = self.images[self._sounding][:, window]  # [S', n, C]
        _, n, channels = images.shape
        padded = n + self._length - 1
        n_fft = scipy.fft.next_fast_len(padded, real=True)
        spectra = scipy.fft.rfft(images.transpose(0, 2, 1).reshape(-1, n), n_fft)  # [S' C, F]
        for k, (source, (own, from_all)) in enumerate(filters.items()):
            truth = np.zeros((channels, padded))
            truth[:, :n] = self.images[source, window].T
            estimate = np.zeros((channels, padded))
            estimate[:, :n] = estimates[source, window].T
            if not truth.any() or not estimate.any():
                continue
            alone = _filtered(spectra[k * channels : (k + 1) * channels], own, n_fft)[:, :padded]
            together = _filtered(spectra, from_all, n_fft)[:, :padded]
            scores[:, source] = (
                _db(truth, estimate - truth),
                _db(truth, alone - truth),
                _db(alone, together - alone),
                _db(together, estimate - together),
            )
        return scores


def _factorised(gram: Array) -> Array:
    """Lower Cholesky factor; writes over its argument."""
    factor: Array = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    return factor


def _solved(factor: Array, lags: Array) -> Array:
    """Filters from correlations `[channels in, C, L]`, in the same layout."""
    n, channels, length = lags.shape
    right = lags.transpose(0, 2, 1).reshape(n * length, channels)
    solution = scipy.linalg.cho_solve((factor, True), right, check_finite=False)
    return np.ascontiguousarray(solution.reshape(n, length, channels).transpose(0, 2, 1))


def _filtered(spectra: NDArray[np.complex128], filters: Array, n_fft: int) -> Array:
    """Sum over input channels of channel * filter: `[n, F]`, `[n, C, L]` -> `[C, n_fft]`."""
    mixed = np.einsum("nf,ncf->cf", spectra, scipy.fft.rfft(filters, n_fft))
    result: Array = scipy.fft.irfft(mixed, n_fft)
    return result


def _db(signal: Array, error: Array) -> float:
    energy = float(np.vdot(error, error))
    if energy == 0.0:
        return float("inf")
    with np.errstate(divide="ignore"):
        return float(10.0 * np.log10(float(np.vdot(signal, signal)) / energy))
