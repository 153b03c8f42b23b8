"""demucs 4's networks separate as demucs does, adapt like any other, and come without unpickling a class."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from demucs.apply import apply_model
from demucs.pretrained import get_model

from tests.helpers.tiny_demucs import SAMPLE_RATE_HZ, SEGMENT_S, SIX_SOURCES, tiny_htdemucs, write_repo
from tests.helpers.tiny_network import first_half_silent, noise_song
from ugosa_server.adaptation.loop import adapt, adaptation_of
from ugosa_server.adaptation.presets import AdaptationOptions, resolve_options
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.cli import main
from ugosa_server.config import WorkerSettings
from ugosa_server.errors import BadOptionError, CheckpointError
from ugosa_server.jobs.options import JobOptionsRequest, check_adaptation, resolve_job_options
from ugosa_server.jobs.runs import RunSpec, RunSucceeded
from ugosa_server.marks import Mark, MarkState
from ugosa_server.models.checkpoints import weights_digest
from ugosa_server.models.config import ALL_DEPTHS, depths_of
from ugosa_server.models.demucs.network import read_demucs_repo
from ugosa_server.models.network import build_network
from ugosa_server.models.registry import ModelRegistry, read_model_info
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.run import run_job
from ugosa_server.separation.options import SeparationOptions

MODELS = ["hy000001", "hd000001", "both"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    return write_repo(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repo):
    folder = tmp_path_factory.mktemp("models")
    for name in MODELS:
        assert main(["models", "add", name, "--repo", str(repo), "--into", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def networks():
    return ResidentNetworks(WorkerSettings("cpu"))


@pytest.mark.parametrize(
    ("name", "n_samples"),
    [("hy000001", 300), ("hy000001", 5000), ("both", 5000), ("both", 10_400), ("hd000001", 10_400)],
)
def test_stems_are_those_of_demucs(repo, folder, networks, name, n_samples):
    mix = torch.randn(2, 2, n_samples, generator=torch.Generator().manual_seed(4))
    theirs = apply_model(get_model(name, repo=repo), mix, shifts=0, split=False)
    network = networks.load(folder / f"{name}.safetensors").network
    with torch.inference_mode():
        ours = network(mix)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 100, 10_401, 25_000])
@pytest.mark.parametrize("name", MODELS)
def test_any_length_can_be_separated(folder, networks, name, n_samples):
    network = networks.load(folder / f"{name}.safetensors").network
    with torch.inference_mode():
        stems = network(torch.randn(1, 2, n_samples))
    assert stems.shape == (1, len(network.config.sources), 2, n_samples)
    assert stems.isfinite().all()


def test_the_front_process_knows_the_model_without_torch(folder):
    assert not {"torch", "demucs"} & set(_modules_after_listing(folder))
    info = ModelRegistry([folder]).get("hy000001")
    assert (info.architecture, info.sources) == ("demucs", tuple(SIX_SOURCES))
    assert info.parameters == sum(p.numel() for p in tiny_htdemucs().parameters())
    names = {strategy.name: strategy.trainable_parameters for strategy in info.strategies}
    assert {f"{prefix}-{depth}" for prefix in "PB" for depth in depths_of(info.config)} < set(names)
    assert read_model_info(folder / "both.safetensors").parameters == 2 * info.parameters


def _modules_after_listing(folder):
    import subprocess

    code = (
        "import sys, json; from pathlib import Path; from ugosa_server.models.registry import ModelRegistry; "
        "assert ModelRegistry([Path(sys.argv[1])]).get('both'); print(json.dumps(list(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True).stdout
    return json.loads(printed)


@pytest.mark.parametrize("name", ["hy000001", "hd000001"])
def test_depths_are_nested_and_end_before_the_encoder(folder, name):
    network = build_network(read_model_info(folder / f"{name}.safetensors").config)
    trained = {str(depth): set(network.trained_parameters(depth)) for depth in ALL_DEPTHS}
    assert trained["L1:D"] > trained["L2:D"] > trained["L3:D"] > trained["L4:D"] > trained["L5:D"]
    for level in (1, 2, 3):
        assert trained[f"L{level}:D"] > trained[f"L{level}:M"] > trained[f"L{level}:3"]
        assert trained[f"L{level}:D"] - trained[f"L{level}:M"] == trained["L5:D"]
        assert trained[f"L{level}:D"] - trained[f"L{level}:3"] == trained["L4:D"]
    assert trained["L4:3"] == set()
    everything = {name for name, _ in network.named_parameters()}
    decoders = {n for n in everything if n.startswith(("members.0.decoder.", "members.0.tdecoder."))}
    assert trained["L2:D"] == decoders
    bottleneck = trained["L1:D"] - decoders
    if name == "hy000001":
        assert bottleneck == {n for n in everything if n.startswith("members.0.crosstransformer.")}
    else:
        lstm_layers = ("members.0.encoder.2.", "members.0.encoder.3.")
        assert bottleneck == {n for n in everything if n.startswith(lstm_layers)}
    assert all(".conv_tr." in n for n in trained["L5:D"])


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("hy000001", "P-L1:D"), ("hy000001", "P-L4:M"), ("hd000001", "P-L1:D"), ("both", "P-L3:D")],
)
def test_fine_tuning_changes_its_depth_and_restores_the_base(folder, networks, name, strategy):
    network = networks.load(folder / f"{name}.safetensors").network
    base = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    song = noise_song(SAMPLE_RATE_HZ)
    options = AdaptationOptions(strategy, learning_rate=1e-2, epochs=2, segment_s=0.5)
    marks = first_half_silent(1, len(song), network.config.sources)
    with adaptation_of(network, parse_strategy(strategy)) as parameters:
        losses = [step.loss.total for step in adapt(network, parameters, song, marks, options, seed=0)]
        assert all(parameter.grad is not None for parameter in parameters.values())
        changed = {key for key, t in network.state_dict().items() if not torch.equal(t, base[key])}
    assert np.isfinite(losses).all()
    # Fresh layer scales of 1e-4 let almost nothing through, so not every tensor moves in two epochs.
    assert set() < changed <= set(parameters)
    assert weights_digest(network.state_dict()) == weights_digest(base)


def test_six_source_job_nulls_obeys_marks_and_restores_base(tmp_path, folder, networks):
    path, rate_hz, n_frames = folder / "hy000001.safetensors", 44_100, 3 * 44_100
    random = np.random.default_rng(7)
    song = (np.rint(0.1 * random.normal(size=(n_frames, 2)) * 2**15) / 2**15).astype("<f4")
    song.tofile(tmp_path / "song.f32")
    (tmp_path / "out").mkdir()
    marks = (
        Mark("guitar", MarkState.SILENT, 0, n_frames // 2),
        Mark("piano", MarkState.SILENT, n_frames // 3, n_frames),
    )
    info = ModelRegistry([folder]).get("hy000001")
    options = resolve_job_options(JobOptionsRequest(adaptation={"epochs": 2, "learning_rate": 1e-3}), info)
    assert options.separation.segment_s == options.adaptation.segment_s == float(SEGMENT_S)
    spec = RunSpec(
        job_id="job",
        attempt=1,
        source=SourceAudio(
            str(tmp_path / "song.f32"), rate_hz, 2, n_frames, "WAV PCM_16", float(np.abs(song).max())
        ),
        file_name="song.wav",
        marks=marks,
        options=replace(options, separation=replace(options.separation, shifts=1), seed=3),
        model_path=str(path),
        out_dir=str(tmp_path / "out"),
    )
    base = weights_digest(networks.load(path).network.state_dict())
    *_, ending = run_job(spec, networks, lambda wish: False)
    assert isinstance(ending, RunSucceeded)
    assert [stem.source for stem in ending.stems] == SIX_SOURCES
    stems = np.stack(
        [soundfile.read(tmp_path / "out" / s.file_name, always_2d=True)[0] for s in ending.stems]
    )
    assert np.array_equal(stems.sum(axis=0), song.astype(np.float64))
    fade_frames = rate_hz // 100
    assert np.abs(stems[4, : n_frames // 2 - fade_frames]).max() == 0.0
    assert np.abs(stems[5, n_frames // 3 + fade_frames :]).max() == 0.0
    assert weights_digest(networks.load(path).network.state_dict()) == base
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["adaptation"]["strategy"] == "P-L3:D"
    assert report["adaptation"]["trainable_parameters"] == info.trainable_parameters("P-L3:D") > 0


def test_segment_too_long_for_the_transformer_is_refused(folder):
    info = read_model_info(folder / "hy000001.safetensors")
    with pytest.raises(BadOptionError, match=r"segment_seconds is 10, .* at most 1\.3"):
        check_adaptation(resolve_options("authors-code", n_sources=6), info.config)
    check_adaptation(AdaptationOptions(segment_s=1.3), info.config)


class Hostile:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_a_hostile_repository_is_refused_and_nothing_is_executed(tmp_path):
    from demucs.states import save_with_checksum

    canary = tmp_path / "canary"
    save_with_checksum({"klass": Hostile(canary), "args": (), "kwargs": {}, "state": {}}, tmp_path / "aa.th")
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_demucs_repo(tmp_path, "aa")
    assert not canary.exists()


def test_repository_without_the_model_or_its_file_is_refused(tmp_path, repo):
    with pytest.raises(CheckpointError, match=r"cannot read absent from"):
        read_demucs_repo(repo, "absent")
    (tmp_path / "hy000001-01234567.th").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="expected 01234567: it is not that file"):
        read_demucs_repo(tmp_path, "hy000001")
    (tmp_path / "hy000001-01234567.th").rename(tmp_path / "hy000001.th")
    with pytest.raises(CheckpointError, match="does not say its sha256 in its name"):
        read_demucs_repo(tmp_path, "hy000001")


def test_default_segment_fits_the_transformer(folder):
    assert SeparationOptions().segment_s == 8.0
    for name, segment_s in (("hy000001", float(SEGMENT_S)), ("hd000001", 8.0)):
        options = resolve_job_options(JobOptionsRequest(), read_model_info(folder / f"{name}.safetensors"))
        assert options.separation.segment_s == segment_s


def test_a_published_size_has_sensible_depths():
    from demucs.htdemucs import HTDemucs

    from ugosa_server.models.demucs.network import _describe

    with torch.device("meta"):
        network = HTDemucs(SIX_SOURCES[:4], bottom_channels=512, t_layers=5, rescale=0)
    member = _describe(network, [1.0] * 4)
    parameters = list(network.named_parameters())
    total = sum(parameter.numel() for _, parameter in parameters)
    assert 41e6 < total < 43e6
    counts = {
        str(d): sum(p.numel() for n, p in parameters if n.startswith(member.trained_prefixes(d)))
        for d in ALL_DEPTHS
    }
    assert total > counts["L1:D"] > counts["L2:D"] > counts["L3:D"] > counts["L4:D"] > counts["L5:D"] > 0
