"""The guard: judges every epoch on marked silence that training did not see, and keeps the best network.

A contiguous part of every source's marked silence is held back (`hold_back`): training takes it as unknown.
There is no truth of the song, but three things can be known of a source q:

- held-back silence: all that the network gives for q there is leakage;
- remixes of held-back stretches (`remix.py`): both parts are known, so both errors are;
- windows in which q surely plays: what an adaptation takes from q there beyond its leakage is taken from q
  itself.

With e the power of the error of q on remixes and E that of q there, r that of the error of the others' sum, p
the power of q's estimate where it surely plays, m that of the mix there, l and n the same two on held-back
silence, and 0 for the base:

    taken = (p_0 - p) / p_0,    spared = `COMPANY` (l_0 - l) / n (m - p_0) / p_0
    harm = `HARM_WEIGHT` max(0, taken - spared - `HARM_TOLERANCE`)
    gain of q          = 10 log10( e_0 / min(max(E, e), e + harm E) ) dB
    gain of the others = 10 log10( r_0 / (r + harm E) ) dB
    score = mean of both over the sources of a piece, then over the pieces, a loss g as tanh(g / 1 dB) dB

Sources of which the same silence is held back are one piece of evidence, and count as one: where only a
guitar plays, what it does to bass, drums and vocals is measured three times in one place.

What is spared is the leakage that q may lose where it plays: as much, relative to the other sources, as it
lost in its silence, times `COMPANY`: where a source plays, more of the others leaks into it. No source can
lose more than all of itself, hence the E. Where q is no more than `UNHEARD_SHARE` of the mix it plays nowhere
for sure, and nothing can be said of harm.

A calibration of the masks (`calibration.py`) is judged in the same way behind the network that is kept, the
Wiener filter with it against the filter without. It is kept if it scores between
`MIN_CALIBRATION_SCORE_DB` and `MAX_CALIBRATION_SCORE_DB`: on songs with known stems it gained even where its
score was 0, and lost where the score was far above what was won elsewhere, since there the estimates in the
remixes are wrong.

A network that learns that q plays nowhere, or takes from q what the base was not sure of, does well on
leakage, and even on remixes, whose q is what the base made of it; the harm shows it. It is a guess, so no
single loss counts for more than 1 dB.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugosa_server.adaptation.remix import Remix, RemixPool, SongEstimates, Stretch
from ugosa_server.adaptation.verdict import Outcome, SourceVerdict, Verdict, level_dbfs
from ugosa_server.audio import SourceFrames
from ugosa_server.marks import Interval, Mark, MarkSet, MarkState, complement, intersect, merge

MIN_SILENCE_S = 6.0  # of a source, all marks together; of less nothing is held back
HELD_SHARE = 0.25  # of the silence of a source
MAX_HELD_S = 12.0
WINDOWS_OF_A_KIND = 2  # of each source
HARM_WEIGHT = 2.0  # this, COMPANY and MIN_SCORE_DB were chosen on songs with known stems, research/README.md
HARM_TOLERANCE = 0.02  # of the power of a source
COMPANY = 5.0  # of the power that leaks into a source where it plays to that where it rests
UNHEARD_SHARE = 0.01  # of the power of the mix
INAUDIBLE_SHARE = 1e-9  # of it
SAME_SHARE = 0.5  # of the shorter of two held-back spans: if more is common to both, they are one piece
MIN_SCORE_DB = 0.2  # of an epoch that is better than the base
MIN_CALIBRATION_SCORE_DB = -0.1  # of a calibration that is no harm: it is far safer than new weights
MAX_CALIBRATION_SCORE_DB = 1.5  # of one that is not too good to be true
TINY_POWER = 1e-12  # at the scale of the network, where a song has a power of 1

NOTHING: Mapping[str, Sequence[Interval]] = {}


@dataclass(frozen=True)
class HeldBack:
    """Marked silence that training does not see."""

    spans: Mapping[str, Interval]
    """Frames by source; sources with too little silence have none."""
    training_marks: MarkSet
    """The marks without it."""

    @property
    def pieces(self) -> list[list[str]]:
        """The sources, those of which the same silence is held back together."""
        pieces: list[list[str]] = []
        for name, span in self.spans.items():
            same = [piece for piece in pieces if _are_same(self.spans[piece[0]], span)]
            if same:
                same[0].append(name)
            else:
                pieces.append([name])
        return pieces


def hold_back(
    marks: MarkSet,
    sources: Sequence[str],
    sample_rate_hz: int,
    learned: Mapping[str, Sequence[Interval]] = NOTHING,
) -> HeldBack:
    """Hold back a quarter of each source's marked silence, 12 s at most: the end of its longest mark.

    Of a source with less than 6 s nothing is held back. Where a quarter takes most of the longest of several
    marks, that mark is taken whole. Silence that was learned before cannot be held back any more; of a source
    with less than 1.5 s beside it nothing is.

    Args:
        marks: at the rate of the frames.
        sources: those that play; silence of others says nothing.
        sample_rate_hz: the rate.
        learned: silence by source that the network has learned already.
    """
    spans: dict[str, Interval] = {}
    for source in sources:
        silent = marks.silent(source)
        total = sum(stop - start for start, stop in silent)
        free = intersect(silent, complement(learned.get(source, ()), silent[-1][1])) if silent else []
        unlearned = sum(stop - start for start, stop in free)
        if total < (least := MIN_SILENCE_S * sample_rate_hz) or unlearned < HELD_SHARE * least:
            continue
        length = min(round(HELD_SHARE * total), round(MAX_HELD_S * sample_rate_hz))
        start, stop = max(free, key=lambda span: span[1] - span[0])
        whole = len(free) > 1 and stop - start <= 1.5 * length
        spans[source] = (start if whole else max(start, stop - length), stop)
    kept = [
        Mark(source, MarkState.SILENT, *part)
        for source in marks.sources
        for span in marks.silent(source)
        for part in intersect([span], complement([spans[source]], span[1]) if source in spans else [span])
    ]
    active = [mark for mark in marks.marks if mark.state is MarkState.ACTIVE]
    return HeldBack(spans, MarkSet((*kept, *active)))


@dataclass(frozen=True)
class SourceFigures:
    """Measurements of one source after one epoch; powers are mean squares at the network's scale."""

    leakage: float
    """Power of the estimate on held-back silence."""
    silence_power: float
    """Power of the mix there."""
    own_error: float
    """Power of the error of the source on remixes of held-back stretches; nan without any."""
    own_power: float
    """Power of the source there."""
    rest_error: float
    """Power of the error of the sum of the others there."""
    sure_power: float
    """Power of the estimate where the source surely plays; nan where that is nowhere."""
    sure_mix_power: float
    """Power of the mix there."""


Figures = Mapping[str, SourceFigures]
"""By source."""

Separate = Callable[[Tensor, int, str], Tensor]
"""Separates one window [C, T] with its first frame in the song and a name of its own: [S, C, T]."""

Filter = Callable[[Tensor, Tensor], Tensor]
"""Filters the estimates of a window by the window itself: [S, C, T], [C, T] -> [S, C, T]."""


@dataclass(frozen=True)
class GuardState:
    """Everything that a later attempt needs to go on judging."""

    figures: tuple[Figures, ...]
    """By epoch, the base's first, then that of an adapter that training starts from."""
    kept_epoch: int
    """Place of the best so far; 0 = the base."""
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    """Its trained tensors; none of the base."""


@dataclass(frozen=True)
class _Window:
    """A window that is separated after every epoch."""

    name: str
    source: int
    start: int
    span: Interval  # frames of the window that count


class Guard:
    """Judges the epochs of one adaptation."""

    def __init__(
        self,
        mix: SourceFrames | NDArray[np.float32],
        marks: MarkSet,
        held: HeldBack,
        sources: Sequence[str],
        estimates: SongEstimates,
        sample_rate_hz: int,
        segment_frames: int,
        seed: int,
        check_cancel: Callable[[], None] = lambda: None,
        *,
        has_start: bool = False,
    ) -> None:
        """Choose the windows.

        Args:
            mix: the song at the network's rate, normalised, [T, C].
            marks: all of them, at that rate.
            held: what is held back of them.
            sources: names of the network's outputs.
            estimates: of the base network.
            sample_rate_hz: the rate.
            segment_frames: length of a window, at most the song's.
            seed: of the remixes.
            check_cancel: called between windows; what it raises ends the adaptation.
            has_start: whether the second judgement is of an adapter that training starts from.
        """
        self._has_start = has_start
        self._mix, self._held, self._sources = mix, held, tuple(sources)
        self._sample_rate_hz, self._length = sample_rate_hz, segment_frames
        self._check_cancel = check_cancel
        random = np.random.default_rng((seed, 3))
        all_held = merge(held.spans.values())
        self._pool = RemixPool(mix, marks, sources, estimates, sample_rate_hz)
        sure = estimates.sure_cells(marks, sources, all_held)
        self._leaks: list[_Window] = []
        self._remixes: list[tuple[_Window, Remix]] = []
        self._sure: list[_Window] = []
        for name, span in held.spans.items():
            index = self._sources.index(name)
            windows = self._windows_of(span)
            self._leaks += [_Window(f"leak {name} {i}", index, *window) for i, window in enumerate(windows)]
            cut = [s for s in self._pool.stretches if index in s.silent and _overlap(s, span)]
            parts = [Stretch(max(s.start, span[0]), min(s.stop, span[1]), s.silent) for s in cut]
            drawn = self._pool.draw(len(windows), segment_frames, random, parts)
            for i, remix in enumerate(drawn):
                part = _clipped((remix.stretch.start, remix.stretch.stop), remix.start, segment_frames)
                self._remixes.append((_Window(f"remix {name} {i}", index, remix.start, part), remix))
            self._sure += [
                _Window(f"sure {name} {i}", index, start, (0, segment_frames))
                for i, start in enumerate(_surest(sure[index], estimates, index, segment_frames, len(mix)))
            ]
        self._figures: list[Figures] = []
        self._kept_epoch = 0
        self._kept: dict[str, Tensor] = {}
        self._calibrated: tuple[Figures, Figures] | None = None

    @property
    def state(self) -> GuardState:
        """State that a later attempt needs."""
        return GuardState(tuple(self._figures), self._kept_epoch, self._kept)

    def restore_kept(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Put the tensors of the best epoch in place; those of the base are its owner's to restore."""
        with torch.no_grad():
            for name, values in self._kept.items():
                parameters[name].copy_(values)

    def resume(self, state: GuardState) -> None:
        """Take up what an earlier attempt has judged; the base has been judged here again."""
        self._figures[1:] = state.figures[1:]
        self._kept_epoch, self._kept = state.kept_epoch, dict(state.kept)

    def judge(self, separate: Separate, parameters: Mapping[str, nn.Parameter]) -> None:
        """Measure the network as it is now; the first call is for the base."""
        with torch.no_grad():
            self._figures += self._measure(separate, [_as_they_are])
        epoch = len(self._figures) - 1
        if epoch and self._score_db(epoch) > max(MIN_SCORE_DB, self._score_db(self._kept_epoch)):
            self._kept_epoch = epoch
            self._kept = {name: p.detach().to("cpu", copy=True) for name, p in parameters.items()}

    @property
    def keeps_base(self) -> bool:
        """Whether no epoch so far was better than the base."""
        return self._kept_epoch == 0

    def judge_calibration(self, separate: Separate, plain: Filter, calibrated: Filter) -> bool:
        """Return whether a calibration of the masks can be believed, behind the network that is kept."""
        with torch.no_grad():
            before, after = self._measure(separate, [plain, calibrated])
        score = score_db(before, after, self._held.pieces)
        if not MIN_CALIBRATION_SCORE_DB < score < MAX_CALIBRATION_SCORE_DB:
            return False
        self._calibrated = before, after
        return True

    @property
    def change_db(self) -> float | None:
        """Change of the leakage by the epoch judged last, mean over the sources; None before the first."""
        if len(self._figures) < 2:
            return None
        changes = []
        for name, base in self._figures[0].items():
            least = INAUDIBLE_SHARE * base.silence_power
            changes.append(_ratio_db(max(self._figures[-1][name].leakage, least), max(base.leakage, least)))
        return float(np.mean(changes))

    def _score_db(self, epoch: int) -> float:
        return score_db(self._figures[0], self._figures[epoch], self._held.pieces)

    def verdict(self, std: float) -> Verdict:
        """Return the verdict on the epochs so far.

        Args:
            std: factor from the network's scale to the song's.
        """
        is_calibrated = self._calibrated is not None
        shown = 0 if is_calibrated and self.keeps_base else self._kept_epoch or len(self._figures) - 1
        pairs = [(self._figures[0], self._figures[shown])] + ([self._calibrated] if self._calibrated else [])
        rows = tuple(
            SourceVerdict(
                name,
                (stop - start) / self._sample_rate_hz,
                before_dbfs := level_dbfs(self._figures[0][name].leakage, std),
                before_dbfs
                + math.fsum(_ratio_db(after[name].leakage, before[name].leakage) for before, after in pairs),
            )
            for name, (start, stop) in self._held.spans.items()
        )
        gains = [gain for pair in pairs if (gain := remixes_db(*pair)) is not None]
        return Verdict(
            Outcome.HELPED if self._kept_epoch or is_calibrated else Outcome.DID_NOT,
            max(0, self._kept_epoch - self._has_start),
            math.fsum(row.held_back_s for row in rows),
            rows,
            math.fsum(gains) if gains else None,
            self.keeps_base,
            is_calibrated,
        )

    def _windows_of(self, span: Interval) -> list[tuple[int, Interval]]:
        """First frames of the windows over a span, and the parts of them that count."""
        start, stop = span
        count = min(WINDOWS_OF_A_KIND, -(-(stop - start) // self._length))
        last = len(self._mix) - self._length
        if count == 1:
            first = max(0, min((start + stop - self._length) // 2, last))
            return [(first, _clipped(span, first, self._length))]
        step = (stop - start - self._length) // (count - 1)
        starts = [max(0, min(start + i * step, last)) for i in range(count)]
        return [(first, _clipped(span, first, self._length)) for first in starts]

    def _measure(self, separate: Separate, filters: Sequence[Filter]) -> list[Figures]:
        """Measure the network with each of the filters behind it."""
        tables = [_Rows(self._held.spans) for _ in filters]
        for window in self._leaks:
            for row, mix, estimate in self._rows(tables, separate, filters, window, self._plain(window)):
                row["leakage"].append(_power(estimate[window.source], window.span))
                row["silence_power"].append(_power(mix, window.span))
        for window, remix in self._remixes:
            remixed, targets = self._pool.build(remix, self._length)
            for row, _, estimate in self._rows(tables, separate, filters, window, remixed):
                errors = torch.einsum("gs,sct->gct", targets.groups, estimate) - targets.sounds
                row["rest_error"].append(_power(errors[0], window.span))
                row["own_error"].append(sum(_power(error, window.span) for error in errors[1:]))
                row["own_power"].append(sum(_power(sound, window.span) for sound in targets.sounds[1:]))
        for window in self._sure:
            for row, mix, estimate in self._rows(tables, separate, filters, window, self._plain(window)):
                row["sure_power"].append(_power(estimate[window.source], window.span))
                row["sure_mix_power"].append(_power(mix, window.span))
        return [table.figures() for table in tables]

    def _rows(
        self,
        tables: Sequence[_Rows],
        separate: Separate,
        filters: Sequence[Filter],
        window: _Window,
        mix: NDArray[np.float32],
    ) -> Iterator[tuple[dict[str, list[float]], Tensor, Tensor]]:
        """Separate a window once; yield for each filter the row to fill, the mix, and the estimates."""
        self._check_cancel()
        estimates = separate(torch.from_numpy(mix), window.start, window.name).cpu()
        for table, apply in zip(tables, filters, strict=True):
            yield (
                table[self._sources[window.source]],
                torch.from_numpy(mix),
                apply(estimates, torch.from_numpy(mix)),
            )

    def _plain(self, window: _Window) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._mix[window.start : window.start + self._length].T)


class _Rows(dict[str, dict[str, list[float]]]):
    """Powers of every window, by source and figure."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: defaultdict(list) for name in names})

    def figures(self) -> Figures:
        """Return the means."""
        keys = [figure.name for figure in fields(SourceFigures)]
        return {name: SourceFigures(*(_mean(row[key]) for key in keys)) for name, row in self.items()}


def remixes_db(base: Figures, after: Figures) -> float | None:
    """Gain on remixes, the mean over sources and others; None where there were none."""
    gains = [
        _ratio_db(before, now)
        for name, row in base.items()
        for before, now in ((row.own_error, after[name].own_error), (row.rest_error, after[name].rest_error))
        if not math.isnan(before)
    ]
    return float(np.mean(gains)) if gains else None


def score_db(base: Figures, after: Figures, pieces: Sequence[Sequence[str]]) -> float:
    """Score an adaptation by the docstring above; below 0 = it makes the sources worse."""
    scores = []
    for piece in pieces:
        gains = [gain for name in piece for gain in _gains_db(base[name], after[name])]
        if gains:
            scores.append(np.mean([gain if gain > 0 else math.tanh(gain) for gain in gains]))
    return float(np.mean(scores)) if scores else 0.0


def _gains_db(base: SourceFigures, after: SourceFigures) -> tuple[float, ...]:
    """Gains of a source and of the others; without remixes, that of a source that plays nowhere, or none."""
    if math.isnan(base.own_error):
        return (_ratio_db(base.leakage, after.leakage),) if math.isnan(base.sure_power) else ()
    harm = 0.0
    if base.sure_power > UNHEARD_SHARE * base.sure_mix_power:
        taken = (base.sure_power - after.sure_power) / base.sure_power
        others = max(0.0, base.sure_mix_power - base.sure_power) / base.sure_power
        spared = (
            COMPANY * max(0.0, base.leakage - after.leakage) / max(base.silence_power, TINY_POWER) * others
        )
        harm = HARM_WEIGHT * max(0.0, taken - spared - HARM_TOLERANCE) * base.own_power
    own_error = min(max(base.own_power, after.own_error), after.own_error + harm)
    return _ratio_db(base.own_error, own_error), _ratio_db(base.rest_error, after.rest_error + harm)


def _ratio_db(before: float, after: float) -> float:
    return 10 * math.log10((before + TINY_POWER) / (after + TINY_POWER))


def _surest(
    sure: NDArray[np.bool_], estimates: SongEstimates, source: int, window_frames: int, n_frames: int
) -> list[int]:
    """First frames of the windows in which a source plays most clearly, apart from each other."""
    cell_frames = estimates.cell_frames
    n_cells = min(len(sure), max(1, -(-window_frames // cell_frames)))
    total = estimates.powers.sum(axis=0) + TINY_POWER
    shares = np.where(sure, estimates.powers[source] / total, 0.0)
    clearness = np.convolve(shares, np.ones(n_cells), mode="valid")
    starts = []
    for _ in range(WINDOWS_OF_A_KIND):
        best = int(np.argmax(clearness))
        if clearness[best] <= 0:
            break
        starts.append(max(0, min(best * cell_frames, n_frames - window_frames)))
        clearness[max(0, best - n_cells + 1) : best + n_cells] = 0
    return starts


def _are_same(one: Interval, other: Interval) -> bool:
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common > SAME_SHARE * min(one[1] - one[0], other[1] - other[0])


def _overlap(stretch: Stretch, span: Interval) -> bool:
    return max(stretch.start, span[0]) < min(stretch.stop, span[1])


def _clipped(span: Interval, start: int, length: int) -> Interval:
    return max(span[0] - start, 0), min(span[1] - start, length)


def _power(audio: Tensor, span: Interval) -> float:
    return float(audio[..., span[0] : span[1]].double().square().mean())


def _as_they_are(estimates: Tensor, _: Tensor) -> Tensor:
    return estimates


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
