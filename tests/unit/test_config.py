"""Settings: of the file and of flags, with their help; a wrong one is named."""

from dataclasses import fields

import pytest

from ugosa_server.cli import EXIT_USAGE, main
from ugosa_server.config import ServerConfig, default_listen, load_config, settings_help
from ugosa_server.errors import ConfigError

NUMBERS = [setting.name for setting in fields(ServerConfig) if type(setting.default) in (int, float)]


def test_every_setting_has_a_help_text():
    assert [setting.name for setting in settings_help()] == [field.name for field in fields(ServerConfig)]
    assert all(settings_help().values())


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["srve"], "serve"),
        (["serve", "--lisen", "127.0.0.1:0"], "--listen"),
        (["token", "creat", "anna"], "create"),
        (["backup", "--config", "a.toml", "--ot=b"], None),
    ],
)
def test_mistyped_word_is_told_the_nearest(words, near, capsys):
    with pytest.raises(SystemExit, match=str(EXIT_USAGE)):
        main(words)
    said = capsys.readouterr().err
    assert (f"; did you mean {near!r}?" in said) if near else ("did you mean" not in said)


@pytest.mark.parametrize("name", NUMBERS)
def test_flag_of_a_setting_reaches_the_configuration(name, capsys):
    assert main(["serve", f"--{name.replace('_', '-')}", "-1"]) == EXIT_USAGE
    assert f"{name} is -1" in capsys.readouterr().err


def test_flag_of_a_list_adds_one_value(monkeypatch, tmp_path, capsys):
    assert main(["serve", "--model-dir", str(tmp_path), "--log-level", "LOUD"]) == EXIT_USAGE
    assert "log_level is 'LOUD'" in capsys.readouterr().err
    flags = ["--model-dir", "/a", "--model-dir", "/b", "--no-cpu-fallback", "--osc-peer", "10.0.0.1:9"]
    taken = []
    monkeypatch.setattr("ugosa_server.doctor.examine", lambda config: taken.append(config) or [])
    assert main(["doctor", *flags]) == 0
    assert taken[0] == ServerConfig(model_dirs=("/a", "/b"), cpu_fallback=False, osc_peers=("10.0.0.1:9",))


def test_flags_come_on_top_of_the_file(tmp_path):
    file = tmp_path / "ugosa.toml"
    file.write_text('listen = ["127.0.0.1:50051"]\nthreads = 4\ndevice = "cpu"\n')
    config = load_config(file, {"device": "cuda:1", "threads": None})
    assert config == ServerConfig(listen=("127.0.0.1:50051",), threads=4, device="cuda:1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("treads = 4\n", "did you mean 'threads'"),
        ('threads = "four"\n', 'threads is "four", but must be a whole number'),
        ("threads = 2.5\n", "threads is 2.5, but must be a whole number"),
        ('keep_jobs_days = "7d"\n', 'keep_jobs_days is "7d", but must be a number'),
        ('cpu_fallback = "yes"\n', 'cpu_fallback is "yes", but must be true or false'),
        ("state_dir = 1979-05-27\n", 'state_dir is "1979-05-27", but must be text in quotes'),
        (
            'listen = "0.0.0.0:50051"\n',
            r'listen is "0\.0\.0\.0:50051", but must be a list, such as \["\.\.\."\]',
        ),
        ("listen = [50051]\n", r"listen is \[50051\], but must be a list"),
        ('log_format = "JSON"\n', 'log_format is "JSON", but must be "plain" or "json"'),
        ("threads = \n", "cannot read"),
        ('log_level = "LOUD"\n', "LOUD"),
        ("threads = -1\n", "threads is -1, but must be at least 0"),
        ("heartbeat_timeout_s = 0\n", r"heartbeat_timeout_s is 0\.0, but must be above 0"),
        ("keep_jobs_days = -1\n", "keep_jobs_days is -1"),  # else all ended jobs would be swept
        ("drain_grace_s = nan\n", "drain_grace_s is nan"),
    ],
)
def test_wrong_setting_is_named(tmp_path, text, words):
    file = tmp_path / "ugosa.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(file, {})


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml", {})


def test_default_socket_is_of_this_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert default_listen() == f"unix:{tmp_path}/run/ugosa/ugosa.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_listen() == f"unix:{tmp_path}/state/ugosa/ugosa.sock"


def test_model_folder_may_lie_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config(None, {"model_dirs": ["~/models"]}).model_dirs == (f"{tmp_path}/models",)
