"""Mix-and-separate: examples out of single recordings, with labels that say who sounds in them.

Section 3 of Slizovskaia et al.: sample instruments, take a random segment of each, sum, clip. A batch depends
on nothing but the seed, the iteration and the stage of the curriculum, so a resumed run sees the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from ugosa_research.training.cunet.recipe import MixOptions
from ugosa_research.training.cunet.solos import FloatArray, Recording, SolosSet
from ugosa_server.errors import ConfigError
from ugosa_server.models.cunet.config import WINDOW_SAMPLES

SILENT_RMS = 1e-3  # -60 dBFS: below, a source is taken out of the example altogether
TRIES = 4  # to find a segment that sounds
MIX_LEVEL_SPREAD_DB = 3.0
EQUALISER_POINTS = 8
LOWEST_POINT_SHARE = 0.01  # of the Nyquist frequency


@dataclass(frozen=True)
class MixBatch:
    """B examples."""

    sources: FloatArray
    """[B, K, T]: silent where a class is absent."""
    mix: FloatArray
    """[B, T]."""
    labels: FloatArray
    """[B, K]: 1 for every class that sounds; with extra labels, for some that do not as well."""
    seen: FloatArray | None = None
    """[B, K', 2048] or [B, K', N, 2048]: the players in random slots; None where nothing is seen."""

    def checked(self, *, extra: bool = False) -> MixBatch:
        """Itself, once its labels are found to be those of its sources.

        Raises:
            ConfigError: a label denies a source that sounds, or (unless `extra`) claims one that is silent.
        """
        sounding = np.asarray(self.sources.any(axis=-1))
        said = self.labels > 0
        wrong = np.asarray(sounding & ~said if extra else sounding != said)
        if wrong.any():
            example, source = (int(i) for i in np.argwhere(wrong)[0])
            raise ConfigError(
                f"example {example} has label {self.labels[example, source]:g} for class {source}, which "
                f"{'sounds' if sounding[example, source] else 'is silent'} in it"
            )
        return self


def mixed_batch(
    recordings: SolosSet,
    options: MixOptions,
    batch_size: int,
    most_sources: int,
    key: tuple[int, ...],
    seen_shape: tuple[int, ...] = (),
) -> MixBatch:
    """The batch of one key.

    Args:
        recordings: to mix from; its order of classes is that of the sources.
        options: of the mixes.
        batch_size: B.
        most_sources: the curriculum's stage.
        key: seeds the batch.
        seen_shape: of an example's video context; () sees nothing.
    """
    rng = np.random.default_rng(key)
    takes = recordings.takes if options.same_take_share else {}
    sources = np.zeros((batch_size, len(recordings.by_instrument), WINDOW_SAMPLES), np.float32)
    examples, seen = [], np.zeros((batch_size, *seen_shape), np.float32)
    for example, context in zip(sources, seen, strict=True):
        chosen = _chosen(rng, recordings, takes, options, most_sources)
        for recording, _, segment in chosen:
            example[list(recordings.by_instrument).index(recording.instrument)] += segment
        examples.append(_mixed(rng, example, options))
        if seen_shape:
            for slot, (recording, start, _) in zip(rng.permutation(len(context)), chosen, strict=False):
                context[slot] = recording.seen(start, seen_shape[1:])
    mixes, labels = (np.stack(arrays) for arrays in zip(*examples, strict=True))
    batch = MixBatch(sources, mixes, labels, seen if seen_shape else None)
    return batch.checked(extra=options.extra_labels_share > 0)


def _chosen(
    rng: np.random.Generator,
    recordings: SolosSet,
    takes: dict[str, list[Recording]],
    options: MixOptions,
    most_sources: int,
) -> list[tuple[Recording, int, FloatArray]]:
    """Draw the parts of an example: recording, start, and the window from there."""
    names = list(recordings.by_instrument)
    n_sources = int(rng.integers(options.fewest_sources, min(most_sources, len(names)) + 1))
    if takes and n_sources > 1 and rng.random() < options.same_take_share:
        members = list(takes.values())[int(rng.integers(len(takes)))]
        start = int(rng.integers(min(member.frames for member in members) - WINDOW_SAMPLES + 1))
        chosen = [members[i] for i in rng.permutation(len(members))[:n_sources]]
        return [(member, start, member.segment(start)) for member in chosen]
    classes = rng.choice(len(names), n_sources, replace=False)
    return [_sounding_segment(rng, recordings.by_instrument[names[k]]) for k in classes]


def _mixed(
    rng: np.random.Generator, sources: FloatArray, options: MixOptions
) -> tuple[FloatArray, FloatArray]:
    """Mix and labels of `sources` [K, T], which are altered in place."""
    present = np.zeros(len(sources), bool)
    for k in np.flatnonzero(sources.any(axis=-1)):
        present[k] = _rms(sources[k]) >= SILENT_RMS
        sources[k] = _altered(rng, sources[k], options) if present[k] else 0
        if options.level == "peak" and present[k]:
            sources[k] /= np.abs(sources[k]).max()
    if options.level == "peak":
        sources /= max(1, present.sum())
    mix = np.asarray(sources[present].sum(axis=0), np.float32)
    if options.mix_rms > 0 and present.any():
        spread = 10 ** (rng.uniform(-MIX_LEVEL_SPREAD_DB, MIX_LEVEL_SPREAD_DB) / 20)
        gain = np.float32(options.mix_rms * spread / _rms(mix))
        sources[present] *= gain
        mix *= gain
    if options.clip:
        mix = np.clip(mix, -1, 1)
    labels = present.astype(np.float32)
    if rng.random() < options.extra_labels_share:
        labels = np.maximum(labels, rng.random(len(sources)) < rng.random()).astype(np.float32)
    return mix, labels


def _sounding_segment(
    rng: np.random.Generator, recordings: tuple[Recording, ...]
) -> tuple[Recording, int, FloatArray]:
    for _ in range(TRIES):
        recording = recordings[int(rng.integers(len(recordings)))]
        start = int(rng.integers(recording.frames - WINDOW_SAMPLES + 1))
        segment = recording.segment(start)
        if _rms(segment) >= SILENT_RMS:
            break
    return recording, start, segment


def _rms(audio: FloatArray) -> float:
    return float(np.sqrt(np.dot(audio, audio) / len(audio)))


def _altered(rng: np.random.Generator, source: FloatArray, options: MixOptions) -> FloatArray:
    """A random gain and a smooth random equaliser, so that no soundfont's timbre is learned by heart."""
    gain_db = rng.normal(0, options.gain_db) if options.gain_db else 0.0
    if not options.equaliser_db:
        return source * np.float32(10 ** (gain_db / 20))
    spectrum = scipy.fft.rfft(source, WINDOW_SAMPLES + 1)
    octaves = _octaves(len(spectrum))
    points = np.linspace(octaves[0], 0, EQUALISER_POINTS)
    curve_db = np.interp(octaves, points, rng.normal(gain_db, options.equaliser_db, EQUALISER_POINTS))
    gain = np.power(np.float32(10), (curve_db / 20).astype(np.float32))
    filtered = scipy.fft.irfft(spectrum * gain, WINDOW_SAMPLES + 1)
    return np.asarray(filtered[:WINDOW_SAMPLES], np.float32)


@lru_cache(maxsize=1)
def _octaves(bins: int) -> FloatArray:
    """Frequency of each bin of a spectrum, in octaves from the Nyquist frequency."""
    return np.log2(np.linspace(LOWEST_POINT_SHARE, 1, bins, dtype=np.float32))
