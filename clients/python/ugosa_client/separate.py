"""From a song to its stems: upload, job, watch, fetch."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ugosa_client.connection import Connection
from ugosa_client.errors import (
    BadInputError,
    BadOptionError,
    NotFoundError,
    OutputExistsError,
    ServerError,
    UnknownModelError,
    UploadDamagedError,
    reason_of,
)
from ugosa_client.events import BaseStemsReady, JobEvent
from ugosa_client.fetch import (
    FetchedFiles,
    OnFetchProgress,
    fetch_base_stems,
    fetch_results,
    refuse_foreign_files,
    require_folder,
    require_room,
)
from ugosa_client.jobs import create_job, get_job, list_models, list_presets, require_success, watch_job
from ugosa_client.marks.file import RegionFile, marks_of_times
from ugosa_client.marks.labels import UnknownNameError, find_source
from ugosa_client.marks.reaper_project import project_song
from ugosa_client.resources import (
    MODEL_DEFAULTS,
    BaseStems,
    Job,
    JobOptions,
    Mark,
    Model,
    StemEncoding,
    TimedMark,
)
from ugosa_client.result_folders import BASE_FOLDER, free_folder
from ugosa_client.song import (
    AdapterFile,
    FileSong,
    Song,
    SongSource,
    lossless_length,
    open_song,
    require_plain_file,
)
from ugosa_client.stem_files import PLAIN, StemFiles, check_lossy_rate
from ugosa_client.uploads import OnUploadProgress, upload_song
from ugosa_client.video import Sight

SAMPLE_BYTES = {
    StemEncoding.WAV_FLOAT32: 4,
    StemEncoding.WAV_PCM24: 3,
    StemEncoding.FLAC_PCM24: 3,  # at most
}

REST = "rest"
"""Stem of all that the chosen ones leave of a song; it comes with them."""

MarksSource = Sequence[Mark | TimedMark] | str | os.PathLike[str] | RegionFile
"""Marks in frames of the song or in seconds, or a marks file or its path."""


@dataclass(frozen=True)
class Separation:
    """A finished job with its files."""

    job: Job
    """The job as it ended."""
    files: FetchedFiles


@dataclass(frozen=True)
class SeparationRequest:
    """Song to be separated, with its marks and options."""

    song: SongSource
    """Path of an audio file or of a REAPER project, or an array of `[T]` or `[T, C]`."""
    marks: MarksSource = ()
    """Marks in frames or seconds (`Mark.silent("vocals", 0.0, 12.5)`), or a marks file's path."""
    options: JobOptions = MODEL_DEFAULTS
    sample_rate_hz: int | None = None
    """Frames a second of an array; None for a file, which says it."""
    request_id: str | None = None
    """The same id with the same request gives the same job; None = a new job."""
    sight: Sight | None = None
    """Video, pictures or features of the players, for a model conditioned on video."""
    adapter: str | os.PathLike[str] | None = None
    """File of an adapter (`UgosaClient.fetch_adapter`) to start from; None = as `options.start_from` says."""
    preview_s: tuple[float, float] | None = None
    """Stretch of the song, in seconds, to separate again and again while the job learns; None = none."""
    reuse: bool = False
    """Whether a job that succeeded with the same song, model, options and marks will do."""


def submit(
    connection: Connection,
    request: SeparationRequest,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    stem_files: StemFiles = PLAIN,
    on_upload: OnUploadProgress | None = None,
    on_left_out: Callable[[Sequence[str]], None] | None = None,
) -> Job:
    """Upload a song and make its job.

    A REAPER project is taken as the song that it has as its one audio item, with its regions as marks. Names
    of model, preset and strategy, marks, and the output directory, if there will be one, are checked before
    the upload as far as possible. `on_left_out` is called with the names of the regions of a marks file
    that are no marks.
    """
    source, marks = take_project(request.song, request.marks)
    if isinstance(marks, str | os.PathLike):
        marks = RegionFile.read(marks)
    elif not isinstance(marks, RegionFile):
        marks = tuple(marks)
        if wrong := [mark for mark in marks if not isinstance(mark, Mark | TimedMark)]:
            raise BadInputError(f'{wrong[0]!r} is no mark; write Mark.silent("vocals", 0.0, 12.5)')
    song = open_song(source, request.sample_rate_hz)
    options = request.options
    model = find_model(list_models(connection), options.model)
    _require_known("strategy", options.strategy, [strategy.name for strategy in model.strategies], model.name)
    if options.preset is not None:
        _require_known("preset", options.preset, list_presets(connection), "")
    options = replace(
        options,
        instruments=_find_sources(options.instruments, model, "instruments"),
        stems=_find_sources(_without_rest(options.stems), model, "stems"),
    )
    if request.sight is not None:
        request.sight.check()
    adapter = None if request.adapter is None else AdapterFile(request.adapter)
    if out_dir is not None:
        check_out_dir(song, out_dir, model.sources, overwrite, stem_files)
        if overwrite or options.base_stems not in (None, BaseStems.NONE):  # or old ones there would go
            check_out_dir(song, Path(out_dir) / BASE_FOLDER, model.sources, overwrite, stem_files)
    length = lossless_length(song.path) if isinstance(song, FileSong) else None
    if length is not None:
        check_lossy_rate(stem_files.lossy, length.sample_rate_hz)
        marks_in_frames(marks, model.sources, length.sample_rate_hz, length.frames)
        if out_dir is not None:
            require_room(Path(out_dir), stems_bytes(length.frames * length.channels, options, model))

    def send() -> Job:
        upload = upload_song(connection, song, on_progress=on_upload)
        if upload.audio is None:
            raise ServerError(
                f"the upload {upload.upload_id} is complete, but the server sent no information on its audio"
            )
        rate = upload.audio.sample_rate_hz
        check_lossy_rate(stem_files.lossy, rate)
        if out_dir is not None:
            samples = upload.audio.frames * upload.audio.channels
            require_room(Path(out_dir), stems_bytes(samples, options, model))
        in_frames = marks_in_frames(marks, model.sources, rate, upload.audio.frames)
        if on_left_out is not None and isinstance(marks, RegionFile):
            on_left_out(marks.left_out(model.sources, rate, upload.audio.frames))
        asked = options if request.sight is None else request.sight.options(connection, options, rate)
        if request.preview_s is not None:
            start, end = (round(time_s * rate) for time_s in request.preview_s)
            asked = replace(asked, preview_start_frame=start, preview_end_frame=end)
        if adapter is not None:
            asked = replace(asked, start_from=upload_song(connection, adapter).upload_id)
        return create_job(
            connection,
            upload.upload_id,
            marks=in_frames,
            options=asked,
            request_id=request.request_id,
            reuse=request.reuse,
        )

    try:
        return send()
    except (UploadDamagedError, NotFoundError):  # or it was just deleted; the server takes it once more
        return send()


def marks_in_frames(
    marks: MarksSource, sources: Sequence[str], sample_rate_hz: int, frames: int
) -> Sequence[Mark]:
    """Return all marks in frames of a song; the server checks those that were in frames.

    Raises:
        MarksFileError: a mark in seconds, or one of the file, is not one of this song.
    """
    if isinstance(marks, str | os.PathLike):
        marks = RegionFile.read(marks)
    if isinstance(marks, RegionFile):
        return marks.marks(sources, sample_rate_hz, frames)
    timed = [mark for mark in marks if isinstance(mark, TimedMark)]
    in_frames = [mark for mark in marks if isinstance(mark, Mark)]
    return (*in_frames, *marks_of_times(timed, sources, sample_rate_hz, frames)) if timed else in_frames


def take_project(song: SongSource, marks: MarksSource) -> tuple[SongSource, MarksSource]:
    """Return the audio file and the marks of a REAPER project that is given as a song.

    Marks that are given come before those of the project; other songs are returned as they are.

    Raises:
        BadInputError: the project does not play one audio file as it is.
    """
    if not isinstance(song, str | os.PathLike) or Path(song).suffix.casefold() != ".rpp":
        return song, marks
    try:
        require_plain_file(Path(song))
        file = project_song(Path(song))
    except OSError as error:
        raise BadInputError(f"cannot read the project {song}: {reason_of(error)}") from error
    except ValueError as error:
        raise BadInputError(f"the project {song}: {error}") from None
    return file, marks if not isinstance(marks, Sequence) or marks else song


def finish(
    connection: Connection,
    job: Job,
    out_dir: str | os.PathLike[str],
    *,
    after_seq: int = 0,
    overwrite: bool = False,
    beside: bool = False,
    stem_files: StemFiles = PLAIN,
    on_event: Callable[[JobEvent], None] | None = None,
    on_fetch: OnFetchProgress | None = None,
) -> Separation:
    """Watch a job to its end and fetch its results; `beside` as in `fetch_results`.

    Stems of the model as it is are fetched as soon as they are there.

    Raises:
        JobFailedError: the job failed.
        JobCancelledError: the job was cancelled.
    """
    base_stems: dict[str, Path] = {}
    for event in watch_job(connection, job.job_id, after_seq):
        if isinstance(event, BaseStemsReady):
            base_stems = fetch_base_stems(
                connection,
                get_job(connection, job.job_id),
                free_folder(Path(out_dir), job.job_id) if beside else out_dir,
                overwrite=overwrite,
                stem_files=stem_files,
                on_progress=on_fetch,
            )
        if on_event is not None:
            on_event(event)
    job = require_success(get_job(connection, job.job_id))
    files = fetch_results(
        connection,
        job.job_id,
        out_dir,
        overwrite=overwrite,
        beside=beside,
        stem_files=stem_files,
        on_progress=on_fetch,
    )
    return Separation(job, replace(files, base_stems=files.base_stems or base_stems))


def stems_bytes(song_samples: int, options: JobOptions, model: Model) -> int:
    """Return the most bytes that the stems of a song of so many samples (of all channels) take."""
    n_stems = len(set(options.stems)) + 1 if options.stems else len(model.sources)
    n_stems *= 1 if options.base_stems in (None, BaseStems.NONE) else 2
    return song_samples * n_stems * SAMPLE_BYTES[options.stem_encoding or StemEncoding.WAV_FLOAT32]


def find_model(models: Sequence[Model], name: str | None) -> Model:
    """Return the model of that name, or the default one.

    Raises:
        UnknownModelError: there is none.
    """
    for model in models:
        if model.name == name or (name is None and model.is_default):
            return model
    known = [model.name for model in models]
    near = difflib.get_close_matches(name or "", known, n=1)
    hint = f"did you mean {near[0]!r}? Its" if near else "its"
    wanted = "a default model" if name is None else f"a model named {name!r}"
    raise UnknownModelError(
        f"the server does not have {wanted}; {hint} models: {', '.join(known) or 'none'};"
        " `ugosa-server models` lists those that can be pulled to it",
        "UNKNOWN_MODEL",
    )


def _require_known(kind: str, name: str | None, known: Sequence[str], model: str) -> None:
    """Refuse a name that the server would refuse after the upload.

    Raises:
        BadOptionError: it is not among `known`; the message says the nearest ones, or all.
    """
    if name is None or not known or name in known:
        return
    near = {one.casefold(): one for one in known}
    found = [near[one] for one in difflib.get_close_matches(name.casefold(), near, n=1)]
    hint = f"did you mean {found[0]!r}?" if found else f"known are {', '.join(known)}"
    whose = f"the model {model!r}" if model else "the server"
    raise BadOptionError(f"{whose} has no {kind} {name!r}; {hint}", "BAD_OPTION")


def _without_rest(stems: Sequence[str]) -> tuple[str, ...]:
    """Return the stems beside which the rest comes anyway; else it would be read as `other`."""
    chosen = tuple(name for name in stems if name.casefold() != REST)
    if stems and not chosen:
        raise BadInputError("in the list of stems: the rest is what others leave of the song; name these")
    return chosen


def _find_sources(names: Sequence[str], model: Model, kind: str) -> tuple[str, ...]:
    """Return the model's own names of sources given in everyday words."""
    try:
        return tuple(find_source(name, model.sources) for name in names)
    except UnknownNameError as error:
        raise BadInputError(f"in the list of {kind}: {error}") from None


def check_out_dir(
    song: Song,
    out_dir: str | os.PathLike[str],
    sources: Sequence[str],
    overwrite: bool,
    stem_files: StemFiles = PLAIN,
) -> None:
    """Refuse an output directory in which files of the user would be replaced.

    Raises:
        OutputExistsError: such files are there, a file is in the folder's place, or the song is one of them
            (`ugosa separate drums.wav -o .`).
    """
    folder = Path(out_dir)
    require_folder(folder)
    names = [
        name for suffix in (".wav", ".flac") for name in stem_files.names(song.name, (*sources, REST), suffix)
    ]
    if isinstance(song, FileSong):
        for path in (folder / name for name in names):
            if path.exists() and path.samefile(song.path):
                raise OutputExistsError(
                    f"the stem {path.name} would replace the song {song.path} itself; "
                    "choose another output directory"
                )
    if not overwrite:
        refuse_foreign_files(folder, names)
