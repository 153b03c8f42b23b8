"""The guard: judges every epoch on marked silence that training did not see, and keeps the best network.

A contiguous part of every source's marked silence is held back (`hold_back`): training takes it as unknown.
There is no truth of the song, but three things can be known of a source q:

- held-back silence: all that the network gives for q there is leakage;
- remixes of held-back stretches (`remix.py`): both parts are known, so both errors are;
- windows in which q surely plays: what an adaptation takes from q there beyond its leakage is taken from q
  itself.

`guard_score.py` makes a score of these.

A calibration of the masks (`calibration.py`) is judged in the same way behind the network that is kept, the
Wiener filter with it against the filter without. It is kept if it scores between
`MIN_CALIBRATION_SCORE_DB` and `MAX_CALIBRATION_SCORE_DB`: on songs with known stems it gained even where its
score was 0, and lost where the score was far above what was won elsewhere, since there the estimates in the
remixes are wrong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugosa_server.adaptation.guard_score import (
    TINY_POWER,
    Figures,
    SourceFigures,
    leakage_change_db,
    ratio_db,
    remixes_db,
    score_db,
)
from ugosa_server.adaptation.held_back import HeldBack
from ugosa_server.adaptation.remix import EstimatedSong, Remix, RemixPool, RemixTargets, Stretch
from ugosa_server.adaptation.verdict import Outcome, SourceVerdict, Verdict, level_dbfs
from ugosa_server.marks import Interval, MarkSet, inside, intersect

WINDOWS_OF_A_KIND = 2  # of each source
MIN_SCORE_DB = 0.2  # of an epoch that is better than the base; chosen on songs with known stems
MIN_CALIBRATION_SCORE_DB = -0.1  # of a calibration that is no harm: it is far safer than new weights
MAX_CALIBRATION_SCORE_DB = 1.5  # of one that is not too good to be true

Separate = Callable[[Tensor, int, str], Tensor]
"""Separates one window [C, T] with its first frame in the song and a name of its own: [S, C, T]."""

Filter = Callable[[Tensor, Tensor], Tensor]
"""Filters the estimates of a window by the window itself: [S, C, T], [C, T] -> [S, C, T]."""


@dataclass(frozen=True)
class GuardState:
    """Everything that a later attempt needs to go on judging."""

    figures: tuple[Figures, ...] = ()
    """By epoch, the base's first, then that of an adapter that training starts from."""
    kept_epoch: int = 0
    """Place of the best so far; 0 = the base."""
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """Its trained tensors; none of the base."""


@dataclass(frozen=True)
class _Window:
    """A window that is separated after every epoch."""

    name: str
    source: int
    start: int
    span: Interval
    """Frames of the window that count."""
    figures: tuple[str, str] = ("", "")
    """Fields of `SourceFigures` that it measures: the power of the source's estimate, and that of the mix."""
    remix: Remix | None = None
    """Remix that is separated in place of the song, to measure errors."""


class Guard:
    """Judges the epochs of one adaptation."""

    def __init__(
        self,
        song: EstimatedSong,
        marks: MarkSet,
        held: HeldBack,
        segment_frames: int,
        seed: int,
        check_cancel: Callable[[], None] = lambda: None,
        *,
        has_start: bool = False,
    ) -> None:
        """Choose the windows.

        Args:
            song: what is judged on.
            marks: all of them, at its rate.
            held: what is held back of them.
            segment_frames: length of a window, at most the song's.
            seed: of the remixes.
            check_cancel: called between windows; what it raises ends the adaptation.
            has_start: whether the second judgement is of an adapter that training starts from.
        """
        self._song, self._held, self._length = song, held, segment_frames
        self._check_cancel, self._has_start = check_cancel, has_start
        self._pool = RemixPool(song, marks)
        self._windows = self._choose_windows(marks, np.random.default_rng((seed, 3)))
        self.state = GuardState()
        self._calibrated: tuple[Figures, Figures] | None = None

    def _choose_windows(self, marks: MarkSet, random: np.random.Generator) -> list[_Window]:
        """Return windows of held-back silence, of its remixes, and of where sources surely play."""
        leaks, remixes, sure = [], [], []
        sure_cells = self._song.sure_cells(marks, list(self._held.spans.values()))
        for name, span in self._held.spans.items():
            source = self._song.sources.index(name)
            starts = self._starts_over(span)
            for i, start in enumerate(starts):
                figures = ("leakage", "silence_power")
                leaks.append(_Window(f"leak {name} {i}", source, start, self._inside(span, start), figures))
            parts = [
                Stretch(*part, stretch.silent)
                for stretch in self._pool.stretches
                if source in stretch.silent
                for part in intersect([stretch.span], [span])
            ]
            for i, remix in enumerate(self._pool.draw(len(starts), self._length, random, parts)):
                part = self._inside(remix.stretch.span, remix.start)
                remixes.append(_Window(f"remix {name} {i}", source, remix.start, part, remix=remix))
            for i, start in enumerate(_surest(sure_cells[source], self._song, source, self._length)):
                figures = ("sure_power", "sure_mix_power")
                sure.append(_Window(f"sure {name} {i}", source, start, (0, self._length), figures))
        return [*leaks, *remixes, *sure]

    def _starts_over(self, span: Interval) -> list[int]:
        """First frames of the windows over a span."""
        start, stop = span
        count = min(WINDOWS_OF_A_KIND, -(-(stop - start) // self._length))
        starts = [(start + stop - self._length) // 2]
        if count > 1:
            step = (stop - start - self._length) // (count - 1)
            starts = [start + i * step for i in range(count)]
        return [self._song.start_within(start, self._length) for start in starts]

    def _inside(self, span: Interval, start: int) -> Interval:
        """Return the frames of a window that lie in a span, of which it holds some."""
        return next(inside([span], start, start + self._length))

    def resume(self, state: GuardState) -> None:
        """Take up what an earlier attempt has judged; the base has been judged here again."""
        self.state = replace(state, figures=(*self.state.figures[:1], *state.figures[1:]))

    def judge(self, separate: Separate, parameters: Mapping[str, nn.Parameter]) -> None:
        """Measure the network as it is now; the first call is for the base."""
        (measured,) = self._measure(separate, [lambda estimates, mix: estimates])
        self.state = replace(self.state, figures=(*self.state.figures, measured))
        epoch = len(self.state.figures) - 1
        if epoch and self._score_db(epoch) > max(MIN_SCORE_DB, self._score_db(self.state.kept_epoch)):
            kept = {name: p.detach().to("cpu", copy=True) for name, p in parameters.items()}
            self.state = replace(self.state, kept_epoch=epoch, kept=kept)

    def judge_calibration(self, separate: Separate, plain: Filter, calibrated: Filter) -> bool:
        """Return whether a calibration of the masks can be believed, behind the network that is kept."""
        before, after = self._measure(separate, [plain, calibrated])
        score = score_db(before, after, self._held.pieces)
        if not MIN_CALIBRATION_SCORE_DB < score < MAX_CALIBRATION_SCORE_DB:
            return False
        self._calibrated = before, after
        return True

    @property
    def change_db(self) -> float | None:
        """Change of the leakage by the epoch judged last, mean over the sources; None before the first."""
        figures = self.state.figures
        return leakage_change_db(figures[0], figures[-1]) if len(figures) > 1 else None

    def _score_db(self, epoch: int) -> float:
        return score_db(self.state.figures[0], self.state.figures[epoch], self._held.pieces)

    def verdict(self, std: float) -> Verdict:
        """Return the verdict on the epochs so far.

        Args:
            std: factor from the network's scale to the song's.
        """
        figures, kept_epoch = self.state.figures, self.state.kept_epoch
        is_calibrated = self._calibrated is not None
        shown = kept_epoch or (0 if is_calibrated else len(figures) - 1)
        pairs = [(figures[0], figures[shown])] + ([self._calibrated] if self._calibrated else [])
        rows = tuple(
            SourceVerdict(
                name,
                (stop - start) / self._song.sample_rate_hz,
                before_dbfs := level_dbfs(figures[0][name].leakage, std),
                before_dbfs
                + math.fsum(ratio_db(after[name].leakage, before[name].leakage) for before, after in pairs),
            )
            for name, (start, stop) in self._held.spans.items()
        )
        gains = [gain for pair in pairs if (gain := remixes_db(*pair)) is not None]
        return Verdict(
            Outcome.HELPED if kept_epoch or is_calibrated else Outcome.DID_NOT,
            max(0, kept_epoch - self._has_start),
            math.fsum(row.held_back_s for row in rows),
            rows,
            math.fsum(gains) if gains else None,
            kept_epoch == 0,
            is_calibrated,
        )

    @torch.no_grad()
    def _measure(self, separate: Separate, filters: Sequence[Filter]) -> list[Figures]:
        """Measure the network with each of the filters behind it; every window is separated once."""
        tables: list[dict[str, dict[str, list[float]]]] = [
            {name: defaultdict(list) for name in self._held.spans} for _ in filters
        ]
        for window in self._windows:
            self._check_cancel()
            audio, targets = self._input(window)
            mix = torch.from_numpy(audio)
            estimates = separate(mix, window.start, window.name).cpu()
            for table, apply in zip(tables, filters, strict=True):
                powers = _powers(window, mix, apply(estimates, mix), targets)
                for figure, power in powers.items():
                    table[self._song.sources[window.source]][figure].append(power)
        keys = [figure.name for figure in fields(SourceFigures)]
        return [
            {name: SourceFigures(*(_mean(row[key]) for key in keys)) for name, row in table.items()}
            for table in tables
        ]

    def _input(self, window: _Window) -> tuple[NDArray[np.float32], RemixTargets | None]:
        if window.remix is not None:
            return self._pool.build(window.remix, self._length)
        part = self._song.mix[window.start : window.start + self._length]
        return np.ascontiguousarray(part.T), None


def _powers(
    window: _Window, mix: Tensor, estimates: Tensor, targets: RemixTargets | None
) -> dict[str, float]:
    """Return what a window measures, by fields of `SourceFigures`."""
    if targets is None:
        audio = (estimates[window.source], mix)
        return {name: _power(a, window.span) for name, a in zip(window.figures, audio, strict=True)}
    errors = torch.einsum("gs,sct->gct", targets.groups, estimates) - targets.sounds
    return {
        "rest_error": _power(errors[0], window.span),
        "own_error": sum(_power(error, window.span) for error in errors[1:]),
        "own_power": sum(_power(sound, window.span) for sound in targets.sounds[1:]),
    }


def _surest(sure: NDArray[np.bool_], song: EstimatedSong, source: int, window_frames: int) -> list[int]:
    """First frames of the windows in which a source plays most clearly, apart from each other."""
    n_cells = song.cells_of(window_frames)
    total = song.powers.sum(axis=0) + TINY_POWER
    shares = np.where(sure, song.powers[source] / total, 0.0)
    clearness = np.convolve(shares, np.ones(n_cells), mode="valid")
    starts = []
    for _ in range(WINDOWS_OF_A_KIND):
        best = int(np.argmax(clearness))
        if clearness[best] <= 0:
            break
        starts.append(song.start_within(best * song.cell_frames, window_frames))
        clearness[max(0, best - n_cells + 1) : best + n_cells] = 0
    return starts


def _power(audio: Tensor, span: Interval) -> float:
    return float(audio[..., span[0] : span[1]].double().square().mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
