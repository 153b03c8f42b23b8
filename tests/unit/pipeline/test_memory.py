"""Too little memory costs smaller pieces or time, and the job has notices of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.helpers.runs import files_of, never, run_spec, song_of, stems_of
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import MACHINE_FAULT
from ugosa_server.jobs.runs import RunFailed, RunNotice, RunProgress, RunSucceeded
from ugosa_server.models.checkpoints import save_checkpoint, weights_digest
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.pipeline import resident as resident_networks
from ugosa_server.pipeline.memory import is_out_of_memory, smaller_adaptation, smaller_separation
from ugosa_server.pipeline.resident import ResidentNetwork
from ugosa_server.pipeline.run import ResidentNetworks, run_job
from ugosa_server.separation.options import SeparationOptions

RATE_HZ = 16_000
OPTIONS = AdaptationOptions(learning_rate=1e-3, epochs=2, segment_s=2.0, batch_size=2, guard=False)
SEPARATION = SeparationOptions(segment_s=2.0)


class CrampedNetwork(ConvTasNet):
    """Raises what torch raises on a full GPU, for batches of more than so many frames, until it is moved."""

    shortage = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    room_frames = 0
    trained_calls_before_full = 0
    moved = False

    def _need(self, mix):
        if not self.moved and mix.shape[0] * mix.shape[-1] > self.room_frames:
            raise self.shortage

    def forward(self, mix):
        self._need(mix)
        return super().forward(mix)

    def trained_part(self, mix, frozen, depth):
        self.trained_calls_before_full -= 1
        if self.trained_calls_before_full < 0:
            self._need(mix)
        return super().trained_part(mix, frozen, depth)


class CrampedResident(ResidentNetwork):
    """Passes for a network on a GPU until it is moved, unless its shortage is one of the CPU."""

    @property
    def on_gpu(self):
        return isinstance(self.network.shortage, torch.OutOfMemoryError) and not self.network.moved

    def move_to_cpu(self):
        self.network.moved = True


class CrampedNetworks(ResidentNetworks):
    """Keeps one network that has room for `room_s` seconds at once."""

    def __init__(self, room_s, trained_calls_before_full=0, cpu_fallback=True, shortage=None):
        super().__init__(WorkerSettings("cpu", cpu_fallback=cpu_fallback))
        self._room_frames = round(room_s * RATE_HZ)
        self._trained_calls_before_full = trained_calls_before_full
        self._shortage = shortage or CrampedNetwork.shortage
        self._resident = None

    def load(self, path):
        if self._resident is None:
            plain = super().load(path)
            network = CrampedNetwork(plain.network.config).eval().requires_grad_(False)
            network.load_state_dict(plain.network.state_dict())
            network.shortage = self._shortage
            network.room_frames = self._room_frames
            network.trained_calls_before_full = self._trained_calls_before_full
            self._resident = CrampedResident(network, plain.info)
        return self._resident


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    config = replace(TINY, sample_rate_hz=RATE_HZ)
    save_checkpoint(path, tiny_network(config=config).state_dict(), config)
    return path


@pytest.fixture
def make_spec(tmp_path, checkpoint):
    return partial(run_spec, tmp_path, checkpoint)


def run(spec, networks):
    events = list(run_job(spec, networks, never))
    notices = [
        e.message for e in events if isinstance(e, RunNotice) and e.reason in ("GPU_MEMORY", "CPU_MEMORY")
    ]
    fractions = [event.fraction for event in events if isinstance(event, RunProgress)]
    assert fractions == sorted(fractions), "progress never falls"
    return events[-1], notices


def options_in_report(spec):
    return json.loads((Path(spec.out_dir) / "report.json").read_text())["options"]


def digests(ending):
    return [stem.sha256 for stem in ending.stems]


@pytest.mark.parametrize("trained_calls", [0, 1], ids=["at once", "in the second epoch"])
def test_smaller_pieces_give_the_stems_of_a_job_with_them(make_spec, trained_calls):
    spec = make_spec(adaptation=OPTIONS, separation=SEPARATION)
    ending, notices = run(spec, CrampedNetworks(room_s=1.0, trained_calls_before_full=trained_calls))
    assert isinstance(ending, RunSucceeded)
    assert notices == [
        f"the GPU's memory is too little for {what}"
        for what in (
            "base separation in segments of 2 s: going on with 1 s",
            "adaptation in batches of 2 x 2 s: going on with 1 x 2 s",
            "adaptation in batches of 1 x 2 s: going on with 1 x 1 s",
        )
    ]
    used = options_in_report(spec)
    assert (used["batch_size"], used["segment_seconds"], used["separation_segment_seconds"]) == (1, 1, 1)
    asked = make_spec(
        adaptation=replace(OPTIONS, batch_size=1, segment_s=1.0), separation=SeparationOptions(segment_s=1.0)
    )
    expected, notices = run(asked, ResidentNetworks(WorkerSettings("cpu")))
    assert notices == []
    assert digests(ending) == digests(expected)
    assert (stems_of(spec, ending).sum(axis=0) == song_of(spec)).all()


CPU_SHORTAGES = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        " to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
    ),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
]


@pytest.mark.parametrize("shortage", CPU_SHORTAGES, ids=["torch", "numpy"])
def test_a_machine_short_of_memory_goes_on_in_smaller_pieces(make_spec, shortage):
    spec = make_spec(adaptation=OPTIONS, separation=SEPARATION)
    ending, notices = run(spec, CrampedNetworks(room_s=1.0, shortage=shortage))
    assert isinstance(ending, RunSucceeded)
    assert notices[0] == (
        "this machine's memory is too little for base separation in segments of 2 s: going on with 1 s"
    )
    asked = make_spec(
        adaptation=replace(OPTIONS, batch_size=1, segment_s=1.0), separation=SeparationOptions(segment_s=1.0)
    )
    expected, _ = run(asked, ResidentNetworks(WorkerSettings("cpu")))
    assert digests(ending) == digests(expected)


def test_a_machine_too_short_for_the_smallest_pieces_is_to_blame(make_spec):
    spec = make_spec(adaptation=OPTIONS, separation=SEPARATION)
    networks = CrampedNetworks(room_s=0.5, shortage=CPU_SHORTAGES[0])
    ending, notices = run(spec, networks)
    assert ending.reason == MACHINE_FAULT
    assert "this machine's memory is too little" in notices[-1]
    assert files_of(spec) == {}


def test_pieces_that_never_fit_go_to_the_cpu_as_asked_for(make_spec):
    spec = make_spec(adaptation=OPTIONS, separation=SEPARATION)
    networks = CrampedNetworks(room_s=0.5)
    ending, notices = run(spec, networks)
    assert "going on on the CPU" in notices[-1]
    assert len(notices) == 2
    expected, _ = run(
        make_spec(adaptation=OPTIONS, separation=SEPARATION), ResidentNetworks(WorkerSettings("cpu"))
    )
    assert digests(ending) == digests(expected)
    assert options_in_report(spec)["separation_segment_seconds"] == 2


def test_run_without_cpu_fallback_fails_and_the_base_stays(make_spec):
    spec = make_spec(adaptation=OPTIONS, separation=SeparationOptions(segment_s=0.5))
    networks = CrampedNetworks(room_s=0.9, trained_calls_before_full=1, cpu_fallback=False)
    network = networks.load(spec.model_path).network
    before = weights_digest(network.state_dict())
    ending, _ = run(spec, networks)
    assert isinstance(ending, RunFailed)
    assert ending.reason == "GPU_MEMORY"
    assert "cpu_fallback" in ending.message
    assert files_of(spec) == {}
    assert weights_digest(network.state_dict()) == before


def test_batches_are_halved_before_segments():
    batches = AdaptationOptions(batch_size=5, segment_s=4.0, hop_s=3.0)
    seen = []
    options = batches
    while options is not None:
        seen.append((options.batch_size, options.segment_s, options.hop_s))
        options = smaller_adaptation(options)
    assert seen == [(5, 4, 3), (2, 4, 3), (1, 4, 3), (1, 2, 2), (1, 1, 1)]
    assert smaller_separation(SeparationOptions(segment_s=8.0)).segment_s == 4
    assert smaller_separation(SeparationOptions(segment_s=1.9)) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("std::bad_alloc"), True),
        *((shortage, True) for shortage in CPU_SHORTAGES),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_out_of_memory_is_known_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_model_too_large_for_the_gpu_computes_on_the_cpu(checkpoint, monkeypatch):
    from ugosa_server.errors import DeviceMemoryError

    class TooLarge(ConvTasNet):
        def to(self, device, *arguments):
            if torch.device(device).type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().to(device, *arguments)

    monkeypatch.setattr(resident_networks, "build_network", TooLarge)
    for cpu_fallback in (True, False):
        networks = ResidentNetworks(WorkerSettings("cpu", cpu_fallback=cpu_fallback))
        networks.device = torch.device("cuda:0")
        monkeypatch.setattr(ResidentNetworks, "name_of", lambda networks, device: str(device))
        if cpu_fallback:
            assert networks.load(checkpoint).device == torch.device("cpu")
        else:
            with pytest.raises(DeviceMemoryError, match="cuda:0 has too little memory for the model tiny"):
                networks.load(checkpoint)
