"""Every method on every song of a prepared data set, through the same pipeline that serves jobs. Resumable.

For each song and method there is one file, `scores/SONG/METHOD.json`, written whole or not at all; a second
call does what is missing. Marks are applied to the results of all methods, also of those that do not learn
from them, as in the paper. With several jobs, runs go to processes that each keep a resident network.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_research.evaluation.datasets import StemGroup, marks_of_network, stems_of_network
from ugosa_research.evaluation.marks_files import read_marks
from ugosa_research.evaluation.methods import Method
from ugosa_research.evaluation.preparation import EXACT_MARKS, HUMAN_MARKS, MIX_FILE, PreparedSong
from ugosa_research.evaluation.song_scores import BSS_ENGINES, ScoringOptions, SongScorer
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.decoding.child import DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import BadOptionError, UgosaError
from ugosa_server.jobs.runs import JobOptions, RunEvent, RunFailed, RunSpec, RunSucceeded
from ugosa_server.marks import Mark
from ugosa_server.models.registry import ModelInfo
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job
from ugosa_server.separation.options import SeparationOptions

SCHEMA_VERSION = 1
SCORES_DIR = "scores"
MARKS_FILES = {"exact": EXACT_MARKS, "human": HUMAN_MARKS}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class ExperimentOptions:
    """Settings that all methods of an experiment share."""

    model: ModelInfo
    """The network."""
    scoring: ScoringOptions
    """Windows and metrics of the scores."""
    preset: str | None = None
    """Preset of adaptation options; None = the model's own defaults, else the paper's."""
    separation: SeparationOptions = field(default_factory=SeparationOptions)
    """Segments, overlap and filters of the separation."""
    marks: str = "exact"
    """exact = the annotation of the stems; human = the same, made careless."""
    seed: int = 0
    """Seed of every run."""
    device: str = "auto"
    """Device of the network."""
    threads: int = 1
    """CPU threads of each process; 0 = all."""
    jobs: int = 1
    """Runs at a time."""


@dataclass(frozen=True)
class ScoredRun:
    """Progress: one method on one song is done."""

    song: str
    """Name of the song."""
    method: str
    """Name of the method."""
    done: int
    """Runs that are done, those of earlier calls included."""
    of: int
    """Runs of the experiment."""
    error: str | None
    """Why it failed; None = it did not."""


def run_experiment(
    songs: Sequence[PreparedSong], methods: Sequence[Method], options: ExperimentOptions, out: Path
) -> Iterator[ScoredRun]:
    """Do every run that has no result yet, yielding each as it ends.

    Raises:
        BadAudioError: a song's stems are not the model's sources.
        BadOptionError: an option is out of its range, or `out` holds results of other options.
    """
    if options.scoring.bss_eval not in BSS_ENGINES:
        raise BadOptionError(
            f"there is no BSS Eval {options.scoring.bss_eval!r}; use {', '.join(BSS_ENGINES)}"
        )
    for song in songs:
        stems_of_network(song.stems, options.model.sources)
    adaptations = {method.name: method.options(options.model, options.preset) for method in methods}
    (out / SCORES_DIR).mkdir(parents=True, exist_ok=True)
    _check_same_experiment(out / "experiment.json", options)
    missing = [
        (song, method) for song in songs for method in methods if not _scores_path(out, song, method).exists()
    ]
    total = len(songs) * len(methods)
    done = total - len(missing)
    for song, method, error in _ended(missing, adaptations, options, out):
        done += error is None
        yield ScoredRun(song.name, method.name, done, total, error)


def _ended(
    runs: Sequence[tuple[PreparedSong, Method]],
    adaptations: dict[str, AdaptationOptions],
    options: ExperimentOptions,
    out: Path,
) -> Iterator[tuple[PreparedSong, Method, str | None]]:
    """Do the runs, yielding each with its error as it ends."""
    if options.jobs == 1:
        _Bench.set_up(options, out)
        for song, method in runs:
            yield song, method, _Bench.run_on_bench(song, method, adaptations[method.name])
        return
    # Spawned, because a forked process that has used torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, _Bench.set_up, (options, out)) as pool:
        futures = {
            pool.submit(_Bench.run_on_bench, song, method, adaptations[method.name]): (song, method)
            for song, method in runs
        }
        for future in as_completed(futures):
            yield *futures[future], future.result()


def _check_same_experiment(path: Path, options: ExperimentOptions) -> None:
    """Keep results of different options apart: they would be compared as if they were one experiment."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "model": options.model.name,
        "model_sha256": options.model.sha256,
        "preset": options.preset,
        "separation": asdict(options.separation),
        "scoring": asdict(options.scoring),
        "marks": options.marks,
        "seed": options.seed,
    }
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        for key, value in document.items():
            if earlier.get(key) != value:
                raise BadOptionError(
                    f"{path.parent} holds results with {key} {earlier.get(key)!r}, but {value!r} is asked "
                    "for; name another folder"
                )
        return
    _write_json(path, document)


class _Bench:
    """Network and last judged song, kept by a process between runs."""

    _instance: ClassVar[_Bench]

    def __init__(self, options: ExperimentOptions, out: Path) -> None:
        self._options, self._out = options, out
        self._networks = ResidentNetworks(WorkerSettings(options.device, threads=options.threads))
        self._scorer_of: tuple[Path, SongScorer] | None = None

    @classmethod
    def set_up(cls, options: ExperimentOptions, out: Path) -> None:
        """Make this process's bench."""
        cls._instance = cls(options, out)

    @classmethod
    def run_on_bench(cls, song: PreparedSong, method: Method, adaptation: AdaptationOptions) -> str | None:
        """Run on this process's bench; says why it failed."""
        try:
            cls._instance.run(song, method, adaptation)
        except UgosaError as error:
            return error.message
        return None

    def run(self, song: PreparedSong, method: Method, adaptation: AdaptationOptions) -> None:
        """Separate, judge, write the scores."""
        options = self._options
        stems = stems_of_network(song.stems, options.model.sources)
        marks = marks_of_network(read_marks(song.folder / MARKS_FILES[options.marks]), song.stems, stems)
        with tempfile.TemporaryDirectory() as scratch:
            result = _run(song, marks, adaptation, options, self._networks, Path(scratch))
            estimates = _grouped(result.stems, stems, Path(scratch), options.model.sources)
        scores = self._scorer(song).score(estimates)
        document = {
            "schema_version": SCHEMA_VERSION,
            "song": song.name,
            "frames": song.frames,
            "sample_rate_hz": song.sample_rate_hz,
            "stems": {stem.name: list(stem.sources) for stem in song.stems},
            "method": method.name,
            "strategy": method.strategy,
            "changes": dict(method.changes),
            "adaptation": asdict(adaptation),
            "trainable_parameters": result.report["adaptation"]["trainable_parameters"],
            "epoch_losses": result.report["adaptation"]["epoch_losses"],
            "verdict": result.report["adaptation"]["verdict"],
            "timings_s": result.report["timings_s"],
            "leakage_dbfs": {
                stem["source"]: {key: stem[f"leakage_{key}_dbfs"] for key in ("before", "after")}
                for stem in result.report["stems"]
            },
            "notices": result.report["notices"],
            "scores": {
                stem: {metric: _listed(values) for metric, values in metrics.items()}
                for stem, metrics in scores.items()
            },
        }
        _write_json(_scores_path(self._out, song, method), document)

    def _scorer(self, song: PreparedSong) -> SongScorer:
        if self._scorer_of is None or self._scorer_of[0] != song.folder:
            truth = np.stack(
                [soundfile.read(stem.path, always_2d=True)[0] for stem in song.stems]
            )  # [S, T, C]
            names = [stem.name for stem in song.stems]
            scorer = SongScorer(names, truth, song.sample_rate_hz, self._options.scoring)
            self._scorer_of = (song.folder, scorer)
        return self._scorer_of[1]


@dataclass(frozen=True)
class _Result:
    """Result of a run; paths lie in its scratch folder."""

    stems: dict[str, str]
    """File name by source."""
    report: dict[str, Any]
    """`report.json`."""


def _run(
    song: PreparedSong,
    marks: tuple[Mark, ...],
    adaptation: AdaptationOptions,
    options: ExperimentOptions,
    networks: ResidentNetworks,
    scratch: Path,
) -> _Result:
    """Run the job of one method on one song in this process.

    Raises:
        UgosaError: the run failed.
    """
    out_dir = scratch / "out"
    out_dir.mkdir()
    source: SourceAudio = decode(DecodeRequest(str(song.folder / MIX_FILE), str(scratch / "mix.f32")))
    spec = RunSpec(
        job_id="evaluation",
        attempt=1,
        source=source,
        file_name=song.name,
        marks=marks,
        options=JobOptions(
            options.model.name, adaptation=adaptation, separation=options.separation, seed=options.seed
        ),
        model_path=str(options.model.path),
        out_dir=str(out_dir),
    )
    ending: RunEvent | None = None
    for event in run_job(spec, networks, lambda wish: False):
        ending = event
    if isinstance(ending, RunFailed):
        raise UgosaError(f"{song.name}, {adaptation.strategy}: {ending.message}")
    if not isinstance(ending, RunSucceeded):
        raise UgosaError(f"{song.name}, {adaptation.strategy}: the run ended with {ending}")
    report = json.loads((out_dir / ending.report_json).read_text(encoding="utf-8"))
    return _Result({stem.source: stem.file_name for stem in ending.stems}, report)


def _grouped(
    files: dict[str, str], groups: Sequence[StemGroup], scratch: Path, sources: Sequence[str]
) -> Array:
    """Estimates of the true stems, each the sum of its sources': `[S, T, C]`."""
    by_source = {
        source: soundfile.read(scratch / "out" / files[source], always_2d=True)[0] for source in sources
    }
    return np.stack([np.sum([by_source[source] for source in group.sources], axis=0) for group in groups])


def _scores_path(out: Path, song: PreparedSong, method: Method) -> Path:
    return out / SCORES_DIR / song.folder.name / f"{method.file_stem}.json"


def _listed(values: Array) -> list[float | str | None]:
    """JSON has no NaN and no infinity: null says that a window does not count, "inf" reads as a number."""
    return [
        None if np.isnan(value) else round(float(value), 3) if np.isfinite(value) else str(float(value))
        for value in values
    ]


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
