"""Remix supervision, the objective of `R-`: the song's own stretches, mixed anew and taken apart again.

Where a set Q of sources is marked silent, the mix *is* the sum of the others. To such a stretch y an example
adds sound x_q of sources of Q from elsewhere in the song, and asks for both parts back:

    z = y + sum_{q in Q} x_q,     s_hat = network(z)

    L = (1/N) sum_n v w[n] [ | sum_{i not in Q} s_hat_i[n] - y[n] |  +  sum_{q in Q} | s_hat_q[n] - x_q[n] | ]

averaged over audio channels. w[n] is 1 inside the stretch and 0 in the rest of the window, where the mix
holds what nobody knows. x_q is the base network's estimate of q (marks and Wiener filter applied) where q
surely plays, with a drawn gain, at a drawn place, channels swapped or not; 0 where there is none. v = 1 then.

Where two stretches complement each other, as "only drums" and "no drums" do, the sound that is added is the
other stretch itself. Both parts are true recordings then: its sources have one target, their sum, and
v = `RECORDED_WEIGHT`.

The silence term of Eq. 2 asks for silence and never for q, so a network may learn that q plays nowhere. Here
q is in every example.

All examples of a song are drawn once, from the seed, so that features of the frozen prefix can be kept from
epoch to epoch.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_server.audio import SourceFrames
from ugosa_server.marks import Interval, MarkSet, complement, inside, intersect

RECORDED_WEIGHT = 2.0  # v of examples whose parts are both recordings
RECORDED_SHARE = 0.5  # of the examples of a stretch that has a complement
GAIN_DB = (-6.0, 3.0)  # of what is added
FADE_S = 0.01  # at the edges of a recording that is shorter than the window
MIN_STRETCH_S = 0.1
SURE_SHARE = 0.1  # of the power of a source's loud cells, above which it surely plays: -10 dB
LOUD_PERCENTILE = 90.0
SURE_COVERAGE = 0.5  # of a window that is taken


@dataclass(frozen=True)
class EstimatedSong:
    """A song as the base network takes it and separates it, at its rate and the scale of its input."""

    mix: SourceFrames | NDArray[np.float32]
    """[T, C], normalised."""
    sample_rate_hz: int
    sources: tuple[str, ...]
    """Names of the network's outputs, S of them."""
    read: Callable[[int, int], NDArray[np.float32]]
    """Returns the estimates of the frames [start, stop): [S, C, n]; 0 for sources that do not play."""
    powers: NDArray[np.float64]
    """Mean square of each source by cell, [S, cells]."""
    cell_frames: int
    """Length of a cell; the last one may be shorter."""

    def start_within(self, start: int, window_frames: int) -> int:
        """Return the first frame of a window that is moved into the song, which is at least as long."""
        return max(0, min(start, len(self.mix) - window_frames))

    def cells_of(self, window_frames: int) -> int:
        """Return the number of cells that a window takes, at most all."""
        return max(1, min(len(self.powers.T), -(-window_frames // self.cell_frames)))

    def sure_cells(self, marks: MarkSet, left_out: Sequence[Interval]) -> NDArray[np.bool_]:
        """Cells in which each source surely plays: [S, cells].

        Args:
            marks: at the network's rate.
            left_out: frames that count for no source.
        """
        edges = np.arange(self.powers.shape[1]) * self.cell_frames
        sure = np.zeros(self.powers.shape, dtype=bool)
        for row, powers, source in zip(sure, self.powers, self.sources, strict=True):
            row[:] = True
            for start, stop in (*marks.silent(source), *left_out):
                row[(edges < stop) & (edges + self.cell_frames > start)] = False
            if row.any():
                row &= powers > max(0.0, SURE_SHARE * float(np.percentile(powers[row], LOUD_PERCENTILE)))
        return sure


@dataclass(frozen=True)
class Stretch:
    """Frames [start, stop) in which a known set of sources is silent, and no more are known to be."""

    start: int
    stop: int
    silent: tuple[int, ...]
    """Q, by index, ascending."""

    @property
    def span(self) -> Interval:
        """Its frames."""
        return self.start, self.stop


def stretches(marks: MarkSet, sources: Sequence[str], n_frames: int) -> list[Stretch]:
    """Cut a song of `n_frames` frames into maximal stretches by the sources that are marked silent."""
    spans = [marks.silent(source) for source in sources]
    edges = {0, n_frames, *(min(edge, n_frames) for row in spans for span in row for edge in span)}
    found: list[Stretch] = []
    ordered = sorted(edges)
    for start, stop in itertools.pairwise(ordered):
        silent = tuple(index for index, row in enumerate(spans) if _covers(row, start))
        if found and found[-1].silent == silent:
            found[-1] = Stretch(found[-1].start, stop, silent)
        else:
            found.append(Stretch(start, stop, silent))
    return found


@dataclass(frozen=True)
class AddedSound:
    """Sound that a remix adds to its stretch."""

    sources: tuple[int, ...]
    """The sources whose sum it is, by index."""
    start: int
    """Where in the song its window begins; may lie before it."""
    gain: float
    """Factor."""
    swapped: bool
    """True if the audio channels change places."""
    recorded: Interval | None = None
    """Frames of the song that are a recording of the sources; None = the estimate of one source."""


@dataclass(frozen=True)
class Remix:
    """One training example."""

    start: int
    """First frame of its window in the song."""
    stretch: Stretch
    """The part of the song that is known; it may reach out of the window."""
    added: tuple[AddedSound, ...]
    """At least one."""


@dataclass(frozen=True)
class RemixTargets:
    """Sums of sources that an example asks for, with G = S + 1 rows; rows that are not needed are 0."""

    groups: Tensor
    """1 for the sources of each sum, [G, S]."""
    sounds: Tensor
    """The sums, [G, C, T]; the first is the stretch itself."""
    weights: Tensor
    """v w[n], [T]."""


class RemixPool:
    """The remixes of one song."""

    def __init__(self, song: EstimatedSong, marks: MarkSet, left_out: Sequence[Interval] = ()) -> None:
        """Find the stretches, and the places where sources surely play.

        Args:
            song: what remixes are made of.
            marks: at the network's rate.
            left_out: frames that nothing is taken from.
        """
        self.song = song
        self._n_sources = len(song.sources)
        self._fade_frames = max(1, round(FADE_S * song.sample_rate_hz))
        self._sure = song.sure_cells(marks, left_out)
        kept = complement(left_out, len(song.mix))
        self.stretches = [
            Stretch(start, stop, stretch.silent)
            for stretch in stretches(marks, song.sources, len(song.mix))
            if 0 < len(stretch.silent) < len(song.sources)
            for start, stop in intersect(kept, [stretch.span])
            if stop - start >= MIN_STRETCH_S * song.sample_rate_hz
        ]

    @property
    def is_usable(self) -> bool:
        """True if there is a stretch, and something to add to it."""
        return any(self._is_usable(stretch) for stretch in self.stretches)

    def _is_usable(self, stretch: Stretch) -> bool:
        return any(self._sure[q].any() for q in stretch.silent) or bool(self._complements(stretch))

    def stretches_of_well_known(self, least_frames: int) -> list[Stretch]:
        """Return the stretches each of whose silent sources is so in at least as many frames of stretches."""
        frames = np.zeros(self._n_sources, dtype=int)
        for stretch in self.stretches:
            frames[list(stretch.silent)] += stretch.stop - stretch.start
        return [stretch for stretch in self.stretches if frames[list(stretch.silent)].min() >= least_frames]

    def draw(
        self,
        count: int,
        window_frames: int,
        random: np.random.Generator,
        within: Sequence[Stretch] | None = None,
    ) -> list[Remix]:
        """Draw examples, spread evenly over the stretches; none where there is nothing to add to any.

        Args:
            count: number of examples.
            window_frames: T, at most the song's length.
            random: source of every choice.
            within: the stretches to take; None = all.
        """
        usable = [
            stretch for stretch in (self.stretches if within is None else within) if self._is_usable(stretch)
        ]
        if not usable:
            return []
        lengths = np.array([stretch.stop - stretch.start for stretch in usable])
        ends = np.cumsum(lengths)
        places = (np.arange(count) + random.random(count)) / count * ends[-1]
        remixes = []
        for place in places:
            index = int(np.searchsorted(ends, place, side="right").clip(0, len(usable) - 1))
            stretch = usable[index]
            middle = stretch.start + int(place - (ends[index] - lengths[index]))
            start = self.song.start_within(_window_start(middle, stretch, window_frames), window_frames)
            remixes.append(Remix(start, stretch, self._draw_added(stretch, start, window_frames, random)))
        return remixes

    def _draw_added(
        self, stretch: Stretch, start: int, window_frames: int, random: np.random.Generator
    ) -> tuple[AddedSound, ...]:
        complements = self._complements(stretch)
        playable = [q for q in stretch.silent if self._sure[q].any()]
        if complements and (not playable or random.random() < RECORDED_SHARE):
            other = complements[random.integers(len(complements))]
            first = max(start, stretch.start)  # the recording begins where the stretch does, or later
            room = max(0, (other.stop - other.start) - (min(start + window_frames, stretch.stop) - first))
            offset = int(random.integers(room + 1))
            sources = tuple(i for i in range(self._n_sources) if i not in other.silent)
            return (
                AddedSound(
                    sources,
                    other.start + offset - (first - start),
                    _gain(random),
                    bool(random.integers(2)),
                    other.span,
                ),
            )
        return tuple(
            AddedSound(
                (q,), self._sure_start(q, window_frames, random), _gain(random), bool(random.integers(2))
            )
            for q in playable
        )

    def _complements(self, stretch: Stretch) -> list[Stretch]:
        """Stretches that hold nothing but sources that are silent in this one."""
        everything = set(range(self._n_sources))
        return [other for other in self.stretches if everything - set(other.silent) <= set(stretch.silent)]

    def _sure_start(self, source: int, window_frames: int, random: np.random.Generator) -> int:
        """Draw the first frame of a window in which a source surely plays."""
        cell_frames, n_cells = self.song.cell_frames, self.song.cells_of(window_frames)
        counts = np.convolve(self._sure[source], np.ones(n_cells, dtype=int), mode="valid")
        best = np.flatnonzero(counts >= min(SURE_COVERAGE * n_cells, counts.max()))
        start = int(best[random.integers(len(best))]) * cell_frames + int(random.integers(cell_frames))
        return self.song.start_within(start, window_frames)

    def build(self, remix: Remix, window_frames: int) -> tuple[NDArray[np.float32], RemixTargets]:
        """Return the input z [C, T] of an example, and its targets.

        The input is the sum of the sounds that the example knows, exactly so inside the stretch.
        """
        stop = remix.start + window_frames
        stretch = np.ascontiguousarray(self.song.mix[remix.start : stop].T)  # [C, T]
        sounds = np.zeros((self._n_sources + 1, *stretch.shape), dtype=np.float32)
        groups = np.zeros((self._n_sources + 1, self._n_sources), dtype=np.float32)
        sounds[0] = stretch
        groups[0, [i for i in range(self._n_sources) if i not in remix.stretch.silent]] = 1
        silent = set(remix.stretch.silent)
        for row, added in enumerate(remix.added, start=1):
            sounds[row] = self._sound(added, window_frames)
            groups[row, list(added.sources)] = 1
            silent -= set(added.sources)
        for row, source in enumerate(sorted(silent), start=1 + len(remix.added)):
            groups[row, source] = 1  # and the sound stays 0
        weights = np.zeros(window_frames, dtype=np.float32)
        recorded = any(added.recorded is not None for added in remix.added)
        for first, last in inside([remix.stretch.span], remix.start, stop):
            weights[first:last] = RECORDED_WEIGHT if recorded else 1.0
        targets = RemixTargets(*(torch.from_numpy(array) for array in (groups, sounds, weights)))
        return sounds.sum(axis=0), targets

    def _sound(self, added: AddedSound, window_frames: int) -> NDArray[np.float32]:
        """Return the sound of a window, [C, T]."""
        stop = added.start + window_frames
        if added.recorded is None:
            (source,) = added.sources
            sound = self.song.read(added.start, stop)[source]
        else:
            sound = np.zeros((self.song.mix.shape[1], window_frames), dtype=np.float32)
            for first, last in inside([added.recorded], added.start, stop):
                part = self.song.mix[added.start + first : added.start + last].T
                sound[:, first:last] = part * self._fades(last - first)
        if added.swapped:
            sound = sound[::-1]
        return np.asarray(added.gain * sound, dtype=np.float32)

    def _fades(self, n_frames: int) -> NDArray[np.float32]:
        rising = np.arange(1, n_frames + 1) / self._fade_frames
        return np.minimum(np.minimum(rising, rising[::-1]), 1).astype(np.float32)


def remix_objective(estimates: Tensor, targets: Sequence[RemixTargets]) -> tuple[Tensor, Tensor]:
    """Return the two terms of the objective, averaged over a batch: scalars with gradient.

    Args:
        estimates: s_hat, [B, S, C, T].
        targets: of each example.
    """
    device = estimates.device
    groups = torch.stack([target.groups for target in targets]).to(device)  # [B, G, S]
    sounds = torch.stack([target.sounds for target in targets]).to(device)  # [B, G, C, T]
    weights = torch.stack([target.weights for target in targets]).to(device)  # [B, T]
    sums = torch.einsum("bgs,bsct->bgct", groups, estimates)
    distances = (sums - sounds).abs().mean(dim=2) * groups.amax(dim=2, keepdim=True) * weights.unsqueeze(1)
    return distances[:, 0].mean(), distances[:, 1:].sum(dim=1).mean()


def _covers(spans: Sequence[Interval], frame: int) -> bool:
    """Return whether a frame lies in one of sorted disjoint spans."""
    place = bisect_right(spans, frame, key=lambda span: span[0])  # of the first one that begins after it
    return place > 0 and frame < spans[place - 1][1]


def _window_start(middle: int, stretch: Stretch, window_frames: int) -> int:
    """Put a window around a frame of a stretch: inside the stretch if that is longer, else around it."""
    if stretch.stop - stretch.start >= window_frames:
        return min(max(middle - window_frames // 2, stretch.start), stretch.stop - window_frames)
    return (stretch.start + stretch.stop - window_frames) // 2


def _gain(random: np.random.Generator) -> float:
    return float(10 ** (random.uniform(*GAIN_DB) / 20))
