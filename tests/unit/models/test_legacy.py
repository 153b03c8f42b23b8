"""A pickle is read as data and nothing of it is executed; sizes come from tensors."""

import argparse
import io
import os
import pickle
import subprocess
import sys
import tarfile
import types
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.helpers.legacy_network import LegacyNetwork
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.errors import CheckpointError
from ugosa_server.files import sha256_of_file
from ugosa_server.models.checkpoints import weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.legacy import (
    ClassReference,
    read_legacy_checkpoint,
    read_legacy_pickle,
    small_fraction,
)

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
NETWORK = "tests.helpers.legacy_network.LegacyNetwork"


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args, state=None):
        self.made_from = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.made_from


def hostile_objects(canary):
    touch = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w').close()"
    tensor = torch.ones(3)
    return {
        "os.system": Calls(os.system, touch),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "popen": Calls(subprocess.Popen, ["touch", str(canary)]),
        "open": Calls(open, str(canary), "w"),
        "getattr": Calls(getattr, tensor, "numpy"),
        "pickle": Calls(pickle.loads, pickle.dumps(Calls(os.system, touch))),
        "torch.load": Calls(torch.load, str(canary)),
        "torch.hub": Calls(torch.hub.load_state_dict_from_url, "http://127.0.0.1:9/x.th"),
        "torch.save": Calls(torch.save, tensor, str(canary)),
        "call of the network's class": Calls(LegacyNetwork, str(canary)),
        "state for the network's class": Calls(LegacyNetwork, str(canary), state={"x": 1}),
        "instance of the network": LegacyNetwork.__new__(LegacyNetwork),
        "path that is called": Calls(Path(canary).touch),
    }


NAMES = list(hostile_objects("x"))


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("wrap", ["bare", "state", "kwargs"])
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_pickle_is_refused_and_nothing_is_executed(tmp_path, name, wrap, new_format):
    canary, path = tmp_path / "canary", tmp_path / "x.th"
    evil = hostile_objects(canary)[name]
    content = {
        "bare": evil,
        "state": {"weight": torch.ones(2), "bias": evil},
        "kwargs": ((), {"sources": [{"deep": (evil,)}]}, {"w": torch.ones(2)}),
    }[wrap]
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match=r"nothing in it was run|not a readable checkpoint") as error:
        read_legacy_pickle(path, [NETWORK])
    assert str(path) in error.value.message
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_that_is_no_file_of_torch_is_refused(tmp_path, protocol):
    canary, path = tmp_path / "canary", tmp_path / "x.th"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {canary}"), protocol))
    with pytest.raises(CheckpointError):
        read_legacy_pickle(path, [NETWORK])
    assert not canary.exists()


def raw_pickles(canary):
    """Opcodes that `pickle.dumps` does not write, each a call of os.system."""
    command = f"touch {canary}".encode()
    return {
        "INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + command + b"'\no.",
        "REDUCE": b"cos\nsystem\n(S'" + command + b"'\ntR.",
        "EXT1": b"\x82\x01.",
        "STACK_GLOBAL": b"\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(command)]) + command + b"\x85R.",
        "BUILD": b"c__builtin__\nexec\n}(Vx\nVy\nub.",
        "NEWOBJ": b"cos\nsystem\n(S'" + command + b"'\nt\x81.",
    }


@pytest.mark.parametrize("name", list(raw_pickles("x")))
@pytest.mark.parametrize("container", ["zip", "old"])
def test_hand_made_opcodes_are_refused(tmp_path, name, container):
    canary, path = tmp_path / "canary", tmp_path / "x.th"
    evil = b"\x80\x02" + raw_pickles(canary)[name]
    if container == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x/data.pkl", evil)
            file.writestr("x/version", "3\n")
    else:
        buffer = io.BytesIO()
        torch.save({"w": torch.ones(2)}, buffer, _use_new_zipfile_serialization=False)
        head = buffer.getvalue()
        opened = io.BytesIO(head)
        for _ in range(3):
            pickle.load(opened)
        path.write_bytes(head[: opened.tell()] + evil + pickle.dumps([], 2))
    with pytest.raises(CheckpointError):
        read_legacy_pickle(path, [NETWORK])
    assert not canary.exists()


def test_class_source_in_an_old_file_smuggles_no_other_name(tmp_path):
    path = tmp_path / "x.th"
    torch.save((LegacyNetwork, (), {}, {}), path, _use_new_zipfile_serialization=False)
    assert read_legacy_pickle(path, [NETWORK])[0].full_name == NETWORK
    content = path.read_bytes()
    named = NETWORK.rpartition(".")
    assert content.count(f"{named[0]}\n{named[2]}\n".encode()) == 1
    path.write_bytes(content.replace(f"{named[0]}\n{named[2]}\n".encode(), b"os\nsystem\n"))
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_legacy_pickle(path, [NETWORK])


def test_torchscript_tar_and_broken_archives_are_refused(tmp_path):
    script, tar, cut = tmp_path / "script.th", tmp_path / "tar.th", tmp_path / "cut.th"
    with zipfile.ZipFile(script, "w") as file:  # what torch.load would hand to torch.jit
        for name, content in (("data.pkl", b"\x80\x02}."), ("constants.pkl", b"\x80\x02).")):
            file.writestr(f"script/{name}", content)
    with tarfile.open(tar, "w") as file:
        for name in ("storages", "tensors", "pickle"):
            file.addfile(tarfile.TarInfo(name))
    torch.save({"w": torch.ones(1000)}, cut)
    cut.write_bytes(cut.read_bytes()[:-2000])
    for path in (script, tar, cut, tmp_path / "absent.th"):
        with pytest.raises(CheckpointError, match=path.name):
            read_legacy_pickle(path, [NETWORK])


def test_unexpected_class_is_refused_by_name(tmp_path):
    torch.save({"klass": LegacyNetwork}, tmp_path / "x.th")
    with pytest.raises(CheckpointError, match=r"GLOBAL tests\.helpers\.legacy_network\.LegacyNetwork"):
        read_legacy_pickle(tmp_path / "x.th", ["demucs.tasnet.ConvTasNet"])


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "old"])
def test_classes_and_command_lines_become_inert_objects(tmp_path, new_format):
    content = {
        "klass": LegacyNetwork,
        "state": {"w": torch.arange(3.0)},
        "training_args": argparse.Namespace(musdb=Path("/data"), epochs=3),
    }
    torch.save(content, tmp_path / "x.th", _use_new_zipfile_serialization=new_format)
    read = read_legacy_pickle(tmp_path / "x.th", [NETWORK])
    assert issubclass(read["klass"], ClassReference)
    assert read["klass"].full_name == NETWORK
    assert torch.equal(read["state"]["w"], content["state"]["w"])
    assert vars(read["training_args"]) == {}


def saved(path, state):
    torch.save(state, path)
    return path


def test_all_layouts_hold_the_same_network():
    read = {path: read_legacy_checkpoint(path, sha256_of_file(path)) for path in GOLDEN.glob("*.th")}
    assert len({weights_digest(state) for _, state in read.values()}) == 1
    for path, (config, _) in read.items():
        # A bare state dict does not say its rate: it is the published one.
        assert config.sample_rate_hz == (44100 if path.name.startswith("plain") else 8000)
        assert config.sources == ("drums", "bass", "other", "vocals")
        assert (config.encoder_filters, config.blocks_per_repeat, config.repeats) == (16, 2, 4)


def test_a_state_dict_needs_no_sha256_but_a_named_class_does():
    read_legacy_checkpoint(next(GOLDEN.glob("plain-*.th")))
    for name in ("v1_tuple.th", "v2_training.th"):
        with pytest.raises(CheckpointError, match="opened only if you say its sha256"):
            read_legacy_checkpoint(GOLDEN / name)


@pytest.mark.parametrize(
    ("sha256", "words"), [("0" * 64, "it is not that file"), ("52d1eb92", "first 32 or more")]
)
def test_another_sha256_is_refused_before_the_file_is_opened(sha256, words):
    with pytest.raises(CheckpointError, match=words):
        read_legacy_checkpoint(GOLDEN / "v2_training.th", sha256)


def test_the_published_sizes_are_found_from_the_tensors_alone(tmp_path):
    config = ConvTasNetConfig()
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in ConvTasNet(config).state_dict().items()}
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}  # one number each on disk
    assert read_legacy_checkpoint(saved(tmp_path / "full.th", state))[0] == config


def test_other_sources_are_named_by_the_caller(tmp_path):
    config = ConvTasNetConfig(**{**vars(TINY), "sources": ("voice", "rest"), "sample_rate_hz": 44100})
    path = saved(tmp_path / "two.th", tiny_network(config=config).state_dict())
    with pytest.raises(CheckpointError, match="has 2 sources, but their names are None"):
        read_legacy_checkpoint(path)
    with pytest.raises(CheckpointError, match="has 2 sources"):
        read_legacy_checkpoint(path, sources=["voice"])
    assert read_legacy_checkpoint(path, sources=["voice", "rest"])[0] == config


def changed(name, tensor):
    return {**tiny_network().state_dict(), name: tensor}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "known layouts"),
        ([1, 2], "known layouts"),
        ({"encoder.conv1d_U.weight": torch.ones(2, 2)}, "missing or odd"),
        (changed("separator.network.0.gamma", torch.ones(1, 3, 1)), "network.0.gamma .* does not fit"),
        (changed("encoder.1.weight", torch.ones(1)), "encoder.1.weight .* does not fit"),
        (changed(f"separator.network.2.{'9' * 5000}.0.x", torch.ones(1)), "0.x .* does not fit"),
        (
            changed("decoder.basis_signals.weight", torch.full((32, 16), torch.nan)),
            "no floats, NaN",
        ),
        (
            changed("decoder.basis_signals.weight", torch.ones(32, 16, dtype=torch.int32)),
            "no floats, NaN",
        ),
    ],
)
def test_file_without_convtasnet_is_refused_by_name(tmp_path, content, words):
    with pytest.raises(CheckpointError, match=words) as error:
        read_legacy_checkpoint(saved(tmp_path / "odd.th", content))
    assert "odd.th" in error.value.message


@pytest.mark.parametrize("kwargs", [{"norm_type": "cLN"}, {"causal": True}, {"mask_nonlinear": "softmax"}])
def test_other_variant_is_refused_by_its_argument(tmp_path, monkeypatch, kwargs):
    klass = type("ConvTasNet", (), {"__module__": "demucs.tasnet"})
    monkeypatch.setitem(sys.modules, "demucs.tasnet", types.SimpleNamespace(ConvTasNet=klass))
    content = {"klass": klass, "args": (), "kwargs": kwargs, "state": tiny_network().state_dict()}
    path = saved(tmp_path / "variant.th", content)
    with pytest.raises(CheckpointError, match=f"variant.th has {next(iter(kwargs))}="):
        read_legacy_checkpoint(path, sha256_of_file(path))


@pytest.mark.parametrize("parts", [("39/5",), (39, 5)])
def test_fractions_of_demucs_are_read(parts):
    assert small_fraction(*parts) == Fraction(39, 5)


ODD_FRACTIONS = [("1e999999999",), ("9" * 10**7,), (10**30, 1), (), (1, 2, 3), (1.5,), (1, 0)]


@pytest.mark.parametrize("parts", ODD_FRACTIONS)
def test_fractions_that_cannot_be_are_refused(parts):
    with pytest.raises(pickle.UnpicklingError):
        small_fraction(*parts)
