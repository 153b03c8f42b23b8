"""Tokens: shown once, kept as hashes, worth nothing once revoked or expired."""

import re
import threading
import time
from dataclasses import replace

import pytest

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.cli import main
from ugosa_server.errors import BadOptionError, NotFoundError
from ugosa_server.jobs.events import JobState
from ugosa_server.jobs.model import JobDraft, UploadFormat
from ugosa_server.jobs.runs import JobOptions
from ugosa_server.jobs.store import STORE_FILE_NAME, Store


@pytest.fixture
def tokens(tmp_path):
    store = Store(tmp_path / STORE_FILE_NAME)
    yield store.tokens
    store.close()


def test_a_token_proves_its_principal(tokens):
    token = tokens.create("anna@studio", 60.0)
    assert tokens.principal_of(token) == "anna@studio"
    assert tokens.any_valid()


def test_no_two_tokens_are_alike(tokens):
    assert len({tokens.create("anna", None) for _ in range(100)}) == 100


def test_anything_else_proves_nothing(tokens):
    token = tokens.create("anna", None)
    _, token_id, secret = token.split("_", 2)
    wrong = [
        token[:-1],
        token + "A",
        token.upper(),
        f"ugosa_{token_id}_{'A' * 43}",
        f"ugosa_{'0' * 12}_{secret}",
    ]
    assert [tokens.principal_of(text) for text in ["", secret, *wrong]] == [None] * 7


def test_an_expired_token_proves_nothing(tokens):
    assert tokens.principal_of(tokens.create("anna", -1.0)) is None
    assert not tokens.any_valid()


def test_a_clock_set_back_revives_no_token(tmp_path):
    store = Store(tmp_path / STORE_FILE_NAME)
    token = store.tokens.create("anna", 60.0)
    later_s = time.time() + 3600
    store.uploads.create("u", "anna", "r", "d", UploadFormat())
    assert store.clock.believe(later_s)
    assert store.tokens.principal_of(token) is None
    store.close()


def test_a_token_made_after_the_clock_was_ahead_is_good(tmp_path):
    store = Store(tmp_path / STORE_FILE_NAME)
    assert store.clock.believe(time.time() + 70 * 365 * 86_400)  # of a new server on a machine set wrong
    token = store.tokens.create("anna", 60.0)
    assert store.tokens.principal_of(token) == "anna"
    store.close()


def test_the_secret_is_nowhere_on_disk(tokens, tmp_path):
    secret = tokens.create("anna", None).split("_", 2)[2]
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert any(b"anna" in content for content in files)
    assert not any(secret.encode() in content for content in files)


@pytest.mark.parametrize("name", ["", "../anna", "an na", "anna\n", "é", "x" * 65, "-anna", "{job='x'}"])
def test_principals_are_plain_names(tokens, name):
    with pytest.raises(BadOptionError, match="principal"):
        tokens.create(name, None)


def test_revoking_what_is_not_there_says_so(tokens):
    with pytest.raises(NotFoundError, match="token list"):
        tokens.revoke("000000000000")


def test_the_commands_make_show_and_revoke(tmp_path, capsys):
    state = ["--state-dir", str(tmp_path / "state")]
    assert main(["token", "create", "--principal", "anna", "--expires", "30", *state]) == 0
    made = capsys.readouterr()
    token = made.out.strip()
    assert f"no server has worked in {tmp_path / 'state'}" in made.err  # the name may have a slip
    assert re.fullmatch(r"ugosa_[0-9a-f]{12}_[\w-]{43}", token)
    assert main(["token", "list", *state]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    listing = shown.out
    assert "anna" in listing
    assert "expires" in listing
    assert token.split("_", 2)[2] not in listing
    assert (tmp_path / "state" / STORE_FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert main(["token", "revoke", token.split("_")[1], *state]) == 0
    assert "jobs that came with it stay" in capsys.readouterr().out
    assert main(["token", "list", *state]) == 0
    assert capsys.readouterr().out == ""
    assert main(["token", "revoke", token.split("_")[1], *state]) == 2
    for days in ("nan", "0", "1e9"):  # the last would be a date that no calendar has, for `token list` too
        assert main(["token", "create", "--principal", "anna", "--expires", days, *state]) == 2


def test_a_slip_in_the_state_directory_is_told_and_makes_none(tmp_path, capsys):
    for words in (["list"], ["revoke", "0" * 12]):
        assert main(["token", *words, "--state-dir", str(tmp_path / "stat")]) == 2
        assert "it is no state directory of ugosa-server; name the right" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["--cancel-jobs"]])
def test_revoking_cancels_the_jobs_of_its_principal_if_asked(tmp_path, capsys, flags):
    store = Store(tmp_path / STORE_FILE_NAME)
    for principal in ("anna", "bert"):
        store.uploads.create(principal, principal, "r", "d", UploadFormat())
        draft = JobDraft(store.uploads.get(principal, principal), JobOptions("tiny"), ())
        store.jobs.create(f"job of {principal}", "r", "d", replace(draft, upload=with_audio(draft.upload)))
    token_id = store.tokens.create("anna", None).split("_")[1]
    store.close()
    assert main(["token", "revoke", token_id, *flags, "--state-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    store = Store(tmp_path / STORE_FILE_NAME)
    anna, bert = (store.jobs.get(name, f"job of {name}").state for name in ("anna", "bert"))
    store.close()
    assert bert is JobState.QUEUED
    assert anna is (JobState.CANCELLED if flags else JobState.QUEUED)
    assert ("jobs of anna cancelled: 1" in text) is bool(flags)


def with_audio(upload):
    return replace(upload, audio=SourceAudio("", 8000, 1, 100, "WAV", 0.5))


def test_tokens_are_written_while_the_server_writes_jobs(tmp_path):
    store, beside = Store(tmp_path / STORE_FILE_NAME), Store(tmp_path / STORE_FILE_NAME)
    errors = []

    def make_tokens():
        try:
            for _ in range(50):
                beside.tokens.create("anna", None)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=make_tokens)
    thread.start()
    for number in range(50):  # each reads first and writes then
        store.uploads.create(f"u{number}", "local", f"r{number}", "d", UploadFormat())
    thread.join()
    assert not errors
    assert len(store.tokens.all()) == len(store.uploads.all_ids()) == 50
