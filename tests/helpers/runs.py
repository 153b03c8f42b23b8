"""Runs of the job pipeline in a test's own process: what to run, and what it has left."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import soundfile

from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.runs import JobOptions, RunSpec
from ugosa_server.marks import Mark, MarkState
from ugosa_server.separation.options import SeparationOptions

RATE_HZ = 48_000
EPOCHS = 2


def never(wish):
    return False


def changed(spec, **changes):
    """The same run with some fields of its own, or of its options, changed."""
    of_options = {field.name for field in fields(JobOptions)} - {"stems"}
    options = {name: changes.pop(name) for name in of_options & changes.keys()}
    return replace(spec, options=replace(spec.options, **options), **changes)


def run_spec(tmp_path, checkpoint, channels=2, n_frames=3 * RATE_HZ, marks=None, rate_hz=RATE_HZ, **changes):
    """A run of the model in `checkpoint` over three seconds of music that ends on the 16-bit grid."""
    random = np.random.default_rng(7)
    # Tones and noise on the 16-bit grid, so that the null must be exact.
    t = np.arange(n_frames)[:, None] / rate_hz
    song = 0.2 * np.sin(2 * np.pi * np.array([110.0, 440.0])[:channels] * t) + 0.05 * random.normal(
        size=(n_frames, channels)
    )
    song = (np.rint(song * 2**15) / 2**15).astype("<f4")
    path = tmp_path / f"song-{channels}-{n_frames}-{rate_hz}.f32"
    song.tofile(path)
    if marks is None:
        marks = (
            Mark("bass", MarkState.SILENT, 0, n_frames // 2),
            Mark("vocals", MarkState.SILENT, n_frames // 3, 2 * n_frames // 3),
        )
    out_dir = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
    out_dir.mkdir()
    spec = RunSpec(
        job_id="job",
        attempt=1,
        source=SourceAudio(str(path), rate_hz, channels, n_frames, "WAV PCM_16", float(np.abs(song).max())),
        file_name="Lied Nº 1.wav",
        marks=marks,
        options=JobOptions(
            "tiny",
            adaptation=AdaptationOptions(learning_rate=1e-3, epochs=EPOCHS, segment_s=1.0),
            separation=SeparationOptions(segment_s=1.0),
            seed=3,
        ),
        model_path=str(checkpoint),
        out_dir=str(out_dir),
    )
    return changed(spec, **changes)


def song_of(spec):
    return np.fromfile(spec.source.path, "<f4").reshape(-1, spec.source.channels).astype(np.float64)


def stems_of(spec, ending):
    """[S, T, C] float64."""
    paths = [Path(spec.out_dir) / stem.file_name for stem in ending.stems]
    return np.stack([soundfile.read(path, always_2d=True)[0] for path in paths])


def files_of(spec):
    return {path.name: path.read_bytes() for path in Path(spec.out_dir).iterdir()}
