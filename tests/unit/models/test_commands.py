"""`ugosa-server models`: from a published file to a model that jobs can name, offline from then on."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from demucs import pretrained

from tests.helpers.file_server import file_server
from tests.helpers.tiny_demucs import write_repo
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.cli import main
from ugosa_server.config import WorkerSettings
from ugosa_server.models import commands
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint, weights_digest
from ugosa_server.models.demucs.config import DemucsConfig, DemucsMember
from ugosa_server.models.legacy import read_legacy_checkpoint
from ugosa_server.models.published import DEMUCS_URL, PUBLISHED, PublishedWeights
from ugosa_server.models.registry import ModelRegistry, user_model_dir
from ugosa_server.pipeline.resident import ResidentNetworks

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
PLAIN = next(GOLDEN.glob("plain-*.th"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home" / "ugosa" / "models"


@pytest.fixture
def mirror(monkeypatch):
    small = PublishedWeights("small", "conv_tasnet", DEMUCS_URL, (PLAIN.name,), "a small one")
    monkeypatch.setattr(commands, "PUBLISHED", {**PUBLISHED, "small": small})
    with file_server(**{PLAIN.name: PLAIN.read_bytes()}) as server:
        yield server


def test_the_published_weights_are_those_of_the_paper():
    for name, digits in (("tasnet", "beb46fac"), ("tasnet_extra", "df3777b2")):
        (file_name,) = PUBLISHED[name].file_names
        url = f"https://dl.fbaipublicfiles.com/demucs/v3.0/{name}-{digits}.th"
        assert (PUBLISHED[name].url(file_name), PUBLISHED[name].sha256(file_name)) == (url, digits)


def test_the_published_bags_are_those_that_demucs_lists():
    listed = pretrained._parse_remote_files(pretrained.REMOTE_ROOT / "files.txt")
    for name in ("htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi"):
        bag = yaml.safe_load((pretrained.REMOTE_ROOT / f"{name}.yaml").read_text())
        assert [PUBLISHED[name].url(file) for file in PUBLISHED[name].file_names] == [
            listed[signature] for signature in bag["models"]
        ]


def test_a_bag_of_demucs_is_pulled_file_by_file(home, tmp_path, monkeypatch):
    repo = tmp_path / "repo"
    repo.mkdir()
    write_repo(repo)
    files = sorted(repo.glob("hy00000*.th"))
    both = PublishedWeights("both", "demucs 4", DEMUCS_URL, tuple(file.name for file in files), "two")
    monkeypatch.setattr(commands, "PUBLISHED", {"both": both})
    monkeypatch.setattr(pretrained, "REMOTE_ROOT", repo)
    with file_server(**{file.name: file.read_bytes() for file in files}) as server:
        broken = server.files.pop(f"/{files[1].name}")
        assert main(["models", "pull", "both", "--mirror", server.url]) != 0
        server.files[f"/{files[1].name}"] = broken
        assert main(["models", "pull", "both", "--mirror", server.url]) == 0
        # The file that had come whole was not fetched again.
        assert [path for path, _ in server.requests] == [f"/{files[i].name}" for i in (0, 1, 1)]
    assert [path.name for path in home.iterdir()] == ["both.safetensors"]
    assert ModelRegistry().get("both").sources[-2:] == ("guitar", "piano")
    assert main(["models", "verify", "both"]) == 0


def test_a_pulled_model_is_found_by_default_and_works_offline(home, mirror, capsys):
    assert main(["models", "pull", "small", "--mirror", mirror.url]) == 0
    assert "MB" in capsys.readouterr().err
    assert [path.name for path in home.iterdir()] == ["small.safetensors"]
    assert home == user_model_dir()
    n_requests = len(mirror.requests)
    assert main(["models", "pull", "small", "--mirror", mirror.url]) == 0  # it is here
    model = ModelRegistry().get("small")
    resident = ResidentNetworks(WorkerSettings("cpu")).load(model.path)
    assert weights_digest(resident.network.state_dict()) == weights_digest(read_legacy_checkpoint(PLAIN)[1])
    assert model.description == "a small one"
    assert main(["models", "verify", "small"]) == 0
    assert "unchanged since they were written" in capsys.readouterr().out
    assert len(mirror.requests) == n_requests


def test_the_mirror_can_come_from_the_environment(home, mirror, monkeypatch):
    monkeypatch.setenv("UGOSA_MODEL_MIRROR", mirror.url + "/")
    assert main(["models", "pull", "small"]) == 0
    assert mirror.requests == [(f"/{PLAIN.name}", None)]


def test_a_mirror_without_https_must_be_allowed(home, mirror, capsys):
    assert main(["models", "pull", "small", "--mirror", "http://mirror.example/weights"]) == 2
    assert "use https, or say --allow-http" in capsys.readouterr().err


def test_few_digits_are_named_and_the_sha256_is_shown(home, mirror, capsys):
    assert main(["models", "pull", "small", "--mirror", mirror.url]) == 0
    said = capsys.readouterr().err
    assert "only 8 digits of its sha256" in said
    assert hashlib.sha256(PLAIN.read_bytes()).hexdigest() in said


def test_a_mirror_with_another_file_is_refused(home, mirror, capsys):
    mirror.files[f"/{PLAIN.name}"] = (GOLDEN / "v2_training.th").read_bytes()
    assert main(["models", "pull", "small", "--mirror", mirror.url]) != 0
    assert "is another file" in capsys.readouterr().err
    assert [file for file in home.rglob("*") if file.is_file()] == []
    assert main(["models", "list"]) == 0


def test_training_checkpoint_is_converted_with_its_sha256(home, capsys):
    arguments = ["models", "convert", str(GOLDEN / "v2_training.th"), "--name", "mine"]
    assert main(arguments) != 0
    assert "say its sha256" in capsys.readouterr().err
    digest = hashlib.sha256((GOLDEN / "v2_training.th").read_bytes()).hexdigest()
    assert main([*arguments, "--sha256", digest]) == 0
    assert ModelRegistry().get("mine").sample_rate_hz == 8000
    assert main([*arguments, "--sha256", digest]) != 0
    assert "there is a model 'mine' already" in capsys.readouterr().err


def test_folders_that_cannot_be_made_are_named(home, mirror, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["models", "pull", "small", "--mirror", mirror.url, "--into", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.endswith("file/small.download: Not a directory\n")
    assert main(["models", "convert", str(tmp_path), "--name", "mine"]) == 1
    assert capsys.readouterr().err == f"ugosa-server: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_cannot_leave_the_folder(home, name, capsys):
    assert main(["models", "convert", str(PLAIN), "--name", name]) != 0
    assert "a file name without folders" in capsys.readouterr().err


def test_verify_reports_changed_weights(home, capsys):
    assert main(["models", "convert", str(PLAIN), "--name", "mine"]) == 0
    path = home / "mine.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["models", "verify"]) == 1
    assert "not those that were written" in capsys.readouterr().err


def test_verify_reports_a_network_that_does_not_fit(home, capsys):
    home.mkdir(parents=True)
    state = {name: t for name, t in tiny_network().state_dict().items() if not name.startswith("decoder")}
    save_checkpoint(home / "half.safetensors", state, TINY)
    assert main(["models", "verify", "half"]) == 1
    assert "decoder.basis_signals.weight" in capsys.readouterr().err
    save_checkpoint(home / "half.safetensors", tiny_network().state_dict(), TINY)
    assert main(["models", "verify", "half"]) == 0
    assert "no digest is recorded" in capsys.readouterr().out


def test_verify_compares_with_the_hash_beside_a_model(home, capsys):
    assert main(["models", "verify", "starter"]) == 0
    assert "all finite, as starter.sha256 says" in capsys.readouterr().out
    home.mkdir(parents=True)
    save_checkpoint(home / "mine.safetensors", tiny_network().state_dict(), TINY)
    (home / "mine.sha256").write_text(f"{'0' * 64}  mine.safetensors\n")
    assert main(["models", "verify", "mine"]) == 1
    assert "it is damaged or was replaced" in capsys.readouterr().err


def test_verify_reports_sizes_of_which_nothing_can_be_built(home, capsys):
    shapes = {"decoder.0.conv_tr.weight": (1,)}
    member = DemucsMember("HTDemucs", {"no such argument": 1}, "39/5", (1.0,), shapes)
    home.mkdir(parents=True)
    save_checkpoint(home / "odd.safetensors", {}, DemucsConfig(("a",), 2, 44100, (member,)))
    assert main(["models", "verify", "odd"]) == 1
    assert "odd.safetensors holds no network of the sizes that it states" in capsys.readouterr().err


def test_list_shows_what_is_here_and_what_could_be(home, capsys):
    assert main(["models", "convert", str(PLAIN), "--name", "mine"]) == 0
    assert load_checkpoint(home / "mine.safetensors")[0].sources == ("drums", "bass", "other", "vocals")
    capsys.readouterr()
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "mine: conv_tasnet" in shown
    assert "models pull tasnet_extra" in shown


def test_listing_needs_no_torch(home):
    code = (
        "import sys; from ugosa_server.cli import main; main(['models']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
