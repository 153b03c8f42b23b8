"""Any file given as a checkpoint or an adapter is read or refused as one, and never runs anything."""

import os
import pickle
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.mutations import hostile
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.adaptation.adapter_file import load_adapter, save_adapter
from ugosa_server.adaptation.adapter_keys import AdapterKeys
from ugosa_server.errors import CheckpointError
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint
from ugosa_server.models.registry import read_model_info

KEYS = AdapterKeys("ab" * 32, "cd" * 32, "ef" * 32, "P-L5:D")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    network = tiny_network()
    save_checkpoint(folder / "whole.safetensors", network.state_dict(), TINY, {"adaptation": "{}"})
    save_adapter(folder / "whole.adapter", dict(network.decoder.named_parameters()), KEYS)
    return folder


def halves(content):
    """The header, which is damaged, and the weights, which are not."""
    length = 8 + int.from_bytes(content[:8], "little")
    return content[:length], content[length:]


@given(data=st.data())
def test_any_bytes_are_a_checkpoint_or_refused_as_one(folder, data):
    header, weights = halves((folder / "whole.safetensors").read_bytes())
    path = folder / "damaged.safetensors"
    path.write_bytes(data.draw(hostile([header])) + weights)
    for read in (read_model_info, load_checkpoint):
        try:
            read(path)
        except CheckpointError as error:
            assert str(path) in str(error)


@given(data=st.data())
def test_any_bytes_are_an_adapter_or_refused_as_one(folder, data):
    header, weights = halves((folder / "whole.adapter").read_bytes())
    path = folder / "damaged.adapter"
    path.write_bytes(data.draw(hostile([header])) + weights)
    try:
        load_adapter(path, KEYS.base_sha256)
    except CheckpointError as error:
        assert str(path) in str(error)


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def test_no_pickle_is_ever_built(folder):
    trap = folder / "sprung"
    payload = pickle.dumps({"state": Canary(trap)})
    path = folder / "pickle.safetensors"
    with zipfile.ZipFile(folder / "zipped.safetensors", "w") as archive:
        archive.writestr("archive/data.pkl", payload)
    zipped = (folder / "zipped.safetensors").read_bytes()
    length = len(payload).to_bytes(8, "little")
    for content in (payload, zipped, length + payload, length + payload + bytes(100)):
        path.write_bytes(content)
        for read in (read_model_info, load_checkpoint, lambda p: load_adapter(p, KEYS.base_sha256)):
            with pytest.raises(CheckpointError):
                read(path)
    assert not trap.exists()
    pickle.loads(payload)
    assert trap.exists(), "the canary works"
