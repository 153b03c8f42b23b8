"""Runs for an engine: a second of noise, a tiny network, marks."""

from pathlib import Path

import numpy as np

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.runs import BaseStems, JobOptions, RunSpec
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.separation.options import SeparationOptions

RATE_HZ = 8000
FRAMES = RATE_HZ
ENDLESS = 1_000_000  # epochs: such a run ends only by a cancel or a death


class RunSpecs:
    """Makes specs in a folder, as the scheduler would: a new empty folder for every attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model_path = folder / "tiny.safetensors"
        save_checkpoint(self.model_path, tiny_network().state_dict(), TINY)
        self.song_path = folder / "song.f32"
        song = np.random.default_rng(0).normal(0, 0.1, (FRAMES, 2)).clip(-1, 1)
        self.song = (np.rint(song * 2**15) / 2**15).astype("<f4")  # on the 16-bit grid: the null is exact
        self.song.tofile(self.song_path)

    def make(
        self,
        job_id: str,
        attempt: int = 1,
        *,
        epochs: int = 2,
        model_path: str = "",
        base_stems: BaseStems = BaseStems.NONE,
    ) -> RunSpec:
        out_dir = self.folder / job_id / str(attempt)
        out_dir.mkdir(parents=True)
        return RunSpec(
            job_id=job_id,
            attempt=attempt,
            source=SourceAudio(
                str(self.song_path), RATE_HZ, 2, FRAMES, "WAV PCM_16", float(np.abs(self.song).max())
            ),
            file_name="song.wav",
            marks=(Mark("vocals", MarkState.SILENT, 0, FRAMES // 2),),
            options=JobOptions(
                "tiny",
                adaptation=AdaptationOptions(epochs=epochs, segment_s=0.25),
                separation=SeparationOptions(segment_s=0.25),
                base_stems=base_stems,
            ),
            model_path=model_path or str(self.model_path),
            out_dir=str(out_dir),
        )
