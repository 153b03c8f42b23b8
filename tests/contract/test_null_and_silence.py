"""Stems of every network add up to the song, sample for sample, and are silent where they are marked so."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.helpers.plain_spleeter import tiny_spleeter
from tests.helpers.runs import never, run_spec, song_of, stems_of
from tests.helpers.tiny_band import tiny_band
from tests.helpers.tiny_cunet import FILM, LABEL_MULTIPLY, QUARTET, write_tiny_cunet
from tests.helpers.tiny_demucs import SEGMENT_S, SIX_SOURCES, write_repo
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.cli import main
from ugosa_server.config import WorkerSettings
from ugosa_server.jobs.runs import RunSucceeded
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job
from ugosa_server.separation.options import SeparationOptions

FADE_S = 0.010
WAV_FLOAT32, WAV_PCM24, FLAC = StemEncoding
SECONDS = SeparationOptions(segment_s=1.0)
LEARNS = AdaptationOptions(learning_rate=1e-3, epochs=1, segment_s=1.0)


@dataclass(frozen=True)
class Subject:
    """A network under contract."""

    path: str
    stems: tuple[str, ...]
    separation: SeparationOptions = SECONDS
    adaptation: AdaptationOptions = LEARNS


@pytest.fixture(scope="module")
def networks():
    return ResidentNetworks(WorkerSettings("cpu", threads=1))


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    conv_tasnet = folder / "tiny.safetensors"
    config = replace(TINY, sample_rate_hz=16_000)
    save_checkpoint(conv_tasnet, tiny_network(config=config).state_dict(), config)
    windows = SeparationOptions(segment_s=65535 / 11025)
    ensemble = (*QUARTET, "residual")
    film_only = replace(LEARNS, strategy="P-L5:D")
    repo = write_repo(tmp_path_factory.mktemp("repo"))
    assert main(["models", "add", "hy000001", "--repo", str(repo), "--into", str(folder)]) == 0
    for name, network in (("spleeter", tiny_spleeter()), ("band", tiny_band())):
        save_checkpoint(folder / f"{name}.safetensors", network.state_dict(), network.config)
    return {
        "conv-tasnet": Subject(str(conv_tasnet), TINY.sources),
        "cunet-labels": Subject(
            str(write_tiny_cunet(folder / "labels.safetensors", LABEL_MULTIPLY)),
            ensemble,
            windows,
            AdaptationOptions("B0"),
        ),
        "cunet-film": Subject(
            str(write_tiny_cunet(folder / "film.safetensors", FILM)), ensemble, windows, film_only
        ),
        "demucs": Subject(
            str(folder / "hy000001.safetensors"),
            tuple(SIX_SOURCES),
            SeparationOptions(segment_s=float(SEGMENT_S)),
        ),
        "spleeter": Subject(str(folder / "spleeter.safetensors"), ("vocals", "accompaniment")),
        "band": Subject(str(folder / "band.safetensors"), ("drums", "bass", "other", "vocals")),
    }


@pytest.fixture
def keeps_promises(tmp_path, subjects, networks):
    """Run a network over a song and check its stems."""

    def check(network, n_frames, rate_hz=44_100, channels=2, encoding=WAV_FLOAT32, **changes):
        subject = subjects[network]
        silences = [
            (subject.stems[1], 0, n_frames // 3),
            (subject.stems[0], n_frames // 2, 4 * n_frames // 5),
        ]
        if len(subject.stems) > 2:  # somebody has to play
            silences.append((subject.stems[-1], n_frames // 4, n_frames))
        marks = tuple(Mark(name, MarkState.SILENT, a, b) for name, a, b in silences if a < b)
        spec = run_spec(
            tmp_path,
            subject.path,
            channels,
            n_frames,
            rate_hz=rate_hz,
            **{
                "marks": marks,
                "separation": subject.separation,
                "adaptation": subject.adaptation,
                "stem_encoding": encoding,
                "stems": subject.stems,
            }
            | changes,
        )
        *_, ending = run_job(spec, networks, never)
        assert isinstance(ending, RunSucceeded), ending
        assert tuple(stem.source for stem in ending.stems) == subject.stems
        assert {stem.frames for stem in ending.stems} == {n_frames}
        stems = stems_of(spec, ending)
        np.testing.assert_array_equal(stems.sum(axis=0), song_of(spec))
        fade = round(FADE_S * rate_hz)
        for mark in spec.marks:
            first = mark.start_frame + (fade if mark.start_frame else 0)
            last = mark.end_frame - (fade if mark.end_frame < n_frames else 0)
            assert not stems[subject.stems.index(mark.source)][first:last].any()

    return check


NETWORKS = ["conv-tasnet", "cunet-labels", "cunet-film", "demucs", "spleeter", "band"]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("n_frames", "rate_hz", "channels", "encoding"),
    [
        (1, 44_100, 1, WAV_FLOAT32),
        (2, 48_000, 2, WAV_PCM24),
        (700, 8_000, 2, FLAC),
        (16_000, 16_000, 1, WAV_PCM24),
        (20_001, 96_000, 2, WAV_FLOAT32),
        (44_099, 44_100, 1, FLAC),
        (150_001, 48_000, 2, WAV_PCM24),
    ],
)
def test_adapted_stems_null_and_are_silent(keeps_promises, network, n_frames, rate_hz, channels, encoding):
    keeps_promises(network, n_frames, rate_hz, channels, encoding)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "changes", [{"wiener_exponent": 1.0}, {"overlap": 0.5, "shifts": 2}], ids=["wiener", "shifts"]
)
def test_stems_of_other_separations_null_and_are_silent(keeps_promises, subjects, network, changes):
    keeps_promises(network, 66_150, separation=replace(subjects[network].separation, **changes))


@pytest.mark.parametrize("network", NETWORKS)
def test_unadapted_stems_null_and_are_silent(keeps_promises, network):
    keeps_promises(network, 66_150, adaptation=AdaptationOptions("B0"))


@pytest.mark.parametrize("network", ["cunet-labels", "cunet-film"])
@pytest.mark.parametrize("mask_kind", ["hard", "shared"])
def test_stems_of_other_masks_null_and_are_silent(keeps_promises, subjects, network, mask_kind):
    separation = replace(subjects[network].separation, mask_kind=mask_kind)
    keeps_promises(network, 66_150, separation=separation)
