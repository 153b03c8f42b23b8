"""A run with a network of masks conditions it on the marks, and adapts it if the guard says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.runs import changed
from tests.helpers.tiny_cunet import FILM, LABEL_MULTIPLY, QUARTET, quartet, tiny_cunet, write_tiny_cunet
from ugosa_server.adaptation.adapter_file import load_adapter
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import Wish
from ugosa_server.jobs.runs import (
    JobKind,
    JobOptions,
    RunCancelled,
    RunFailed,
    RunNotice,
    RunPhase,
    RunProgress,
    RunSpec,
    RunSucceeded,
)
from ugosa_server.marks import Mark, MarkState, load_levels
from ugosa_server.marks.players import VisualFrame
from ugosa_server.models.checkpoints import save_checkpoint, weights_digest
from ugosa_server.pipeline.run import ResidentNetworks, run_job
from ugosa_server.separation.options import SeparationOptions

STEMS = (*QUARTET, "residual")
UNADAPTED = AdaptationOptions("B0")
FADE_S = 0.010


def never(wish):
    return False


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        config.conditioning: write_tiny_cunet(folder / f"{config.conditioning}.safetensors", config)
        for config in (LABEL_MULTIPLY, FILM)
    }


@pytest.fixture(scope="module")
def networks():
    return ResidentNetworks(WorkerSettings("cpu", threads=1))


@pytest.fixture
def make_spec(tmp_path, checkpoints):
    def make(n_frames=3 * 44_100, rate_hz=44_100, channels=2, conditioning="label-multiply", **changes):
        song = quartet(n_frames, rate_hz, channels).samples
        song = (np.rint(song * 2**15) / 2**15).astype("<f4")
        path = tmp_path / f"song-{channels}-{n_frames}-{rate_hz}.f32"
        song.tofile(path)
        out_dir = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out_dir.mkdir()
        spec = RunSpec(
            job_id="job",
            attempt=1,
            source=SourceAudio(
                str(path), rate_hz, channels, n_frames, "WAV PCM_16", float(np.abs(song).max())
            ),
            file_name="Quartett.wav",
            marks=(),
            options=JobOptions(
                "cunet",
                adaptation=UNADAPTED,
                separation=SeparationOptions(segment_s=65535 / 11025),
                seed=3,
            ),
            model_path=str(checkpoints[conditioning]),
            out_dir=str(out_dir),
            stems=STEMS,
        )
        return changed(spec, **changes)

    return make


def run(spec, networks):
    """All events, and the stems by name, [T, C] float64."""
    *events, ending = run_job(spec, networks, never)
    assert isinstance(ending, RunSucceeded), ending
    paths = {stem.source: Path(spec.out_dir) / stem.file_name for stem in ending.stems}
    assert tuple(paths) == (spec.stems or (*LABEL_MULTIPLY.instruments, "residual"))
    return events, {name: soundfile.read(path, always_2d=True)[0] for name, path in paths.items()}


def song_of(spec):
    return np.fromfile(spec.source.path, "<f4").reshape(-1, spec.source.channels).astype(np.float64)


def reasons(events):
    return [event.reason for event in events if isinstance(event, RunNotice)]


def silent(source, start, end):
    return Mark(source, MarkState.SILENT, start, end)


def test_sound_above_the_band_is_in_the_residual(make_spec, networks):
    spec = make_spec()
    events, stems = run(spec, networks)

    def power_above(stem):
        above = np.fft.rfftfreq(len(stem), 1 / 44_100) > 6_000
        return np.square(np.abs(np.fft.rfft(stem[:, 0] * np.hanning(len(stem)))[above])).sum()

    mix = song_of(spec)
    assert all(power_above(stems[name]) < 1e-4 * power_above(mix) for name in QUARTET)
    assert power_above(stems["residual"] - mix) < 1e-3 * power_above(mix)
    (notice,) = (event for event in events if isinstance(event, RunNotice))
    assert notice.reason == "RESIDUAL"
    assert "5.5 kHz" in notice.message
    assert "cello, flute, viola, violin" in notice.message


@pytest.mark.parametrize("conditioning", ["label-multiply", "film-bottleneck"])
def test_mark_changes_its_own_stretch_and_nothing_else(make_spec, networks, conditioning):
    n_frames = 9 * 44_100  # two windows
    mark = silent("flute", 180_000, 270_000)
    _, with_mark = run(make_spec(n_frames, marks=(mark,), conditioning=conditioning), networks)
    _, without = run(make_spec(n_frames, conditioning=conditioning), networks)
    outside = np.ones(n_frames, bool)
    outside[mark.start_frame : mark.end_frame] = False
    inside = slice(mark.start_frame + 10_000, mark.end_frame - 10_000)
    for name in STEMS:
        np.testing.assert_allclose(with_mark[name][outside], without[name][outside], rtol=0, atol=2**-20)
    assert np.abs(without["flute"][inside]).max() > 1e-3
    changed = [name for name in ("cello", "viola", "violin") if conditioning == "film-bottleneck"]
    for name in changed:  # other conditioning makes other masks
        assert np.abs(with_mark[name][inside] - without[name][inside]).max() > 1e-3


@pytest.mark.parametrize("conditioning", ["label-multiply", "film-bottleneck"])
def test_hard_masks_give_each_bin_whole_or_not_at_all(make_spec, networks, conditioning):
    options = SeparationOptions(segment_s=65535 / 11025, mask_kind="hard")
    mark = silent("viola", 30_000, 60_000)
    spec = make_spec(marks=(mark,), conditioning=conditioning, separation=options)
    _, hard = run(spec, networks)
    _, soft = run(make_spec(marks=(mark,), conditioning=conditioning), networks)
    for name in QUARTET:
        # Of a bin that sounds, a mask of 0 or 1 leaves nothing or all; between them lie few: mix bins, edges.
        assert middling(hard[name], song_of(spec)) < middling(soft[name], song_of(spec))


def test_shared_masks_leave_less_to_the_residual(make_spec, networks):
    options = SeparationOptions(segment_s=65535 / 11025, mask_kind="shared")
    mark = silent("viola", 30_000, 60_000)
    spec = make_spec(marks=(mark,), separation=options)
    _, shared = run(spec, networks)
    _, soft = run(make_spec(marks=(mark,)), networks)
    assert np.sum(shared["residual"] ** 2) < 0.9 * np.sum(soft["residual"] ** 2)


def middling(stem, mix):
    """Share of a stem's loud bins, at the grid of the masks, that it has between a tenth and nine."""
    spectra = [
        np.abs(np.fft.rfft(frames[:, ::2048] * np.hanning(4088)[:, None], axis=0)[:512])
        for frames in (np.lib.stride_tricks.sliding_window_view(x[:, 0], 4088).T for x in (stem, mix))
    ]
    shares = (spectra[0] / spectra[1])[spectra[1] > 0.1]
    return np.mean((shares > 0.1) & (shares < 0.9))


def test_ensemble_changes_the_conditioning(make_spec, networks):
    duo = ("cello", "violin", "residual")
    _, two = run(make_spec(stems=duo, conditioning="film-bottleneck"), networks)
    _, four = run(make_spec(conditioning="film-bottleneck"), networks)
    assert tuple(two) == duo
    assert np.abs(two["cello"] - four["cello"]).max() > 1e-3


def test_no_named_stems_mean_all_of_them_and_a_notice(make_spec, networks):
    events, stems = run(make_spec(n_frames=30_000, stems=()), networks)
    assert len(stems) == 14
    assert reasons(events) == ["RESIDUAL", "ALL_INSTRUMENTS"]


def test_same_seed_gives_the_same_stems_with_shifts(make_spec, networks):
    shifted = SeparationOptions(segment_s=3.0, overlap=0.5, shifts=2)
    runs = [run(make_spec(separation=shifted, seed=seed), networks)[1] for seed in (1, 1, 2)]
    for name in STEMS:
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
    assert any((runs[0][name] != runs[2][name]).any() for name in STEMS)


MARKS = (silent("flute", 0, 70_000), silent("violin", 50_000, 132_300))
LEARNS = AdaptationOptions("P-L5:D", learning_rate=1e-3, epochs=3, segment_s=2.0, guard=False)


def test_film_only_adaptation_lowers_leakage_and_keeps_the_base(make_spec, networks, checkpoints):
    base = weights_digest(networks.load(checkpoints["film-bottleneck"]).network.state_dict())
    spec = make_spec(marks=MARKS, conditioning="film-bottleneck", adaptation=LEARNS)
    events, stems = run(spec, networks)
    assert "VERDICT" not in reasons(events)
    _, tensors = load_adapter(
        Path(spec.out_dir) / "adapter.safetensors", networks.load(spec.model_path).info.sha256
    )
    assert sorted(tensors) == ["film.0.bias", "film.0.weight"]
    assert weights_digest(networks.load(spec.model_path).network.state_dict()) == base
    _, unadapted = run(make_spec(marks=MARKS, conditioning="film-bottleneck"), networks)
    assert any((stems[name] != unadapted[name]).any() for name in STEMS)
    losses = [e.loss.silence for e in events if isinstance(e, RunProgress) and e.loss is not None]
    assert losses[-1] < losses[0]
    progress = [e for e in events if isinstance(e, RunProgress) and e.phase is RunPhase.SEPARATION]
    assert progress[-1].step == progress[-1].steps


def test_adaptation_that_makes_it_worse_keeps_the_base(make_spec, networks, tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.adaptation.held_back.MIN_SILENCE_S", 1.0)  # in songs of three seconds
    # Masks of nearly nothing, which a strategy without marks opens until they add up to the mix.
    closed = tiny_cunet(FILM)
    closed.decoders[0][-1].norm.bias.data.fill_(-5.0)
    path = tmp_path / "closed.safetensors"
    save_checkpoint(path, closed.state_dict(), FILM)
    worse = replace(LEARNS, strategy="B-L4:D", learning_rate=0.03, guard=True)
    spec = make_spec(marks=MARKS, model_path=str(path), adaptation=worse)
    events, stems = run(spec, networks)
    (verdict,) = (e for e in events if isinstance(e, RunNotice) and e.reason == "VERDICT")
    assert verdict.message.startswith("kept the network as it was: fine-tuning did not help this song (")
    _, unadapted = run(make_spec(marks=MARKS, model_path=str(path)), networks)
    for name in STEMS:
        np.testing.assert_array_equal(stems[name], unadapted[name])
    assert not (Path(spec.out_dir) / "adapter.safetensors").exists()


def test_visual_frames_change_the_stems(make_spec, networks, tmp_path):
    config = replace(FILM, context="frame")
    path = write_tiny_cunet(tmp_path / "seeing.safetensors", config)

    def seen(player):
        features = np.random.default_rng(player).random(1024).astype("<f2").tobytes()
        return VisualFrame(player, 0, features)

    def stems_seeing(*players):
        spec = make_spec(model_path=str(path), visual_frames=tuple(seen(player) for player in players))
        events, stems = run(spec, networks)
        return reasons(events), stems

    blind, nobody = stems_seeing()
    assert "NO_VIDEO" in blind
    sighted, two = stems_seeing(0, 4)
    assert "NO_VIDEO" not in sighted
    _, three = stems_seeing(0, 4, 5)
    for other in (nobody, three):
        assert np.abs(two["cello"] - other["cello"]).max() > 1e-4


@pytest.mark.parametrize(("context", "n_frames", "features"), [("frame", 1, 2048), ("frames", 3, 1024)])
def test_adaptation_learns_with_visual_frames(make_spec, networks, tmp_path, context, n_frames, features):
    config = replace(FILM, context=context, context_frames=n_frames)
    path = write_tiny_cunet(tmp_path / "seeing.safetensors", config)

    def learnt(*players):
        seen = tuple(
            VisualFrame(player, frame, np.full(2048, 1e-3 * (1 + player + frame / 1e5), "<f2").tobytes())
            for player in players
            for frame in (0, 60_000)
        )
        spec = make_spec(marks=MARKS, model_path=str(path), adaptation=LEARNS, visual_frames=seen)
        events, _ = run(spec, networks)
        losses = [e.loss.silence for e in events if isinstance(e, RunProgress) and e.loss is not None]
        assert losses[-1] < losses[0]
        base = networks.load(path)
        _, tensors = load_adapter(Path(spec.out_dir) / "adapter.safetensors", base.info.sha256)
        assert sorted(tensors) == ["film.0.bias", "film.0.weight"]
        return tensors["film.0.weight"] - base.network.state_dict()["film.0.weight"]

    blind, sees_one = learnt(), learnt(1)
    assert not blind.any()  # of players whom it does not see it learns nothing
    slots = sees_one.reshape(len(sees_one), 7, features).abs().amax(dim=(0, 2))
    assert (slots > 0).tolist() == [False, True, False, False, False, False, False]


def test_analysis_leaves_levels_of_the_instruments(make_spec, networks):
    spec = make_spec(kind=JobKind.ANALYSIS, stems=())
    *_, ending = run_job(spec, networks, never)
    levels = load_levels(Path(spec.out_dir) / ending.levels)
    assert tuple(levels.sources_dbfs) == LABEL_MULTIPLY.instruments


def test_cancel_leaves_no_file(make_spec, networks):
    spec = make_spec(n_frames=20 * 44_100)
    asked = iter(range(10_000))
    *_, ending = run_job(spec, networks, lambda wish: wish is Wish.CANCEL and next(asked) > 20)
    assert isinstance(ending, RunCancelled)
    assert not list(Path(spec.out_dir).iterdir())


def test_network_without_finite_output_fails_the_run(make_spec, networks, tmp_path):
    path = write_tiny_cunet(tmp_path / "broken.safetensors")
    networks.load(path).network.encoder[0].conv.weight.fill_(float("nan"))
    *_, ending = run_job(make_spec(model_path=str(path)), networks, never)
    assert isinstance(ending, RunFailed)
    assert ending.reason == "NONFINITE_STEMS"
