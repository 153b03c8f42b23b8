"""The client on another machine: it knows the server by its certificate, and is known by its token."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
import trustme

from tests.helpers.api import listening
from tests.helpers.front import wav_bytes
from ugosa_client import Identity, SeparationRequest, UgosaClient
from ugosa_client.cli import main
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import BadInputError, PermissionDeniedError, ServerUnavailableError
from ugosa_server.addresses import TlsFiles


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A server with TLS and client certificates asked for or not, in a thread: (address, token, folder)."""
    folder = tmp_path_factory.mktemp("remote")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(folder / "key.pem")
    server.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ready, done = threading.Event(), asyncio.Event()
    found = {}

    async def serve():
        found["loop"] = asyncio.get_running_loop()
        tls = TlsFiles(folder / "cert.pem", folder / "key.pem")
        async with listening(folder, listen=["0.0.0.0:0"], tls=tls, has_tokens=True) as (front, (address,)):
            found["token"] = await front.store(lambda s: s.tokens.create("anna", None))
            found["address"] = address.replace("0.0.0.0", "127.0.0.1")
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    (folder / "token").write_text(found["token"] + "\n")
    yield found["address"], found["token"], folder
    found["loop"].call_soon_threadsafe(done.set)
    thread.join()


def test_a_song_is_separated_over_tls_with_a_token(remote, tmp_path):
    address, token, folder = remote
    (tmp_path / "song.wav").write_bytes(wav_bytes())
    with UgosaClient(address, identity=Identity(token=token, ca_file=folder / "ca.pem")) as client:
        job = client.submit(SeparationRequest(tmp_path / "song.wav"))
        assert [event.seq for event in client.watch(job.job_id)][:3] == [1, 2, 3]


def test_page_of_a_remote_server_is_served_here(remote, tmp_path):
    pytest.importorskip("starlette", reason="the page needs starlette and uvicorn")
    pytest.importorskip("uvicorn", reason="the page needs starlette and uvicorn")
    address, token, folder = remote
    (tmp_path / "song.wav").write_bytes(wav_bytes())
    options = ["--no-browser", "--server", address, "--ca", str(folder / "ca.pem")]
    page = subprocess.Popen(
        [sys.executable, "-m", "ugosa_client.cli", "web", str(tmp_path / "song.wav"), *options],
        env={**os.environ, "UGOSA_TOKEN": token, "XDG_STATE_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = (re.search(r"(http://127\.0\.0\.1:\d+)/\?key=[\w-]+", line) for line in page.stderr)
        match = next(filter(None, found))
        browser = build_opener(HTTPCookieProcessor())
        assert b"UGOSA" in browser.open(match[0]).read()
        songs = json.load(browser.open(f"{match[1]}/api/songs"))
        assert songs[0]["file_name"] == "song.wav"
        models = json.load(browser.open(f"{match[1]}/api/models"))["models"]
        assert "tiny" in [model["name"] for model in models]
    finally:
        page.terminate()
        page.wait(60)


def test_cli_reads_token_and_authority_from_files_or_env(remote, monkeypatch, capsys):
    address, token, folder = remote
    files = ["--token-file", str(folder / "token"), "--ca", str(folder / "ca.pem")]
    assert main(["models", "--server", address, *files]) == 0
    assert "tiny" in capsys.readouterr().out
    monkeypatch.setenv("UGOSA_TOKEN", token)
    monkeypatch.setenv("UGOSA_CA", str(folder / "ca.pem"))
    assert main(["models", "--server", address]) == 0


def test_a_plain_call_to_a_tls_port_is_told_of_tls(remote, capsys):
    address, _, _ = remote
    assert main(["models", "--server", address]) == 3
    said = capsys.readouterr().err
    assert "it may speak TLS: give --ca or UGOSA_CA" in said
    assert "and --cert and --key where it asks for yours" in said


def test_a_revoked_token_is_told_from_a_missing_one(remote, monkeypatch, capsys):
    address, token, folder = remote
    monkeypatch.setenv("UGOSA_CA", str(folder / "ca.pem"))
    assert main(["models", "--server", address]) == 1
    assert "wants to know who is calling" in capsys.readouterr().err
    monkeypatch.setenv("UGOSA_TOKEN", token[:-4] + "AAAA")
    assert main(["models", "--server", address]) == 1
    assert "does not accept the token that came with the call" in capsys.readouterr().err


def test_without_a_token_the_client_says_what_is_wanted(remote):
    address, _, folder = remote
    with (
        UgosaClient(address, identity=Identity(ca_file=folder / "ca.pem")) as client,
        pytest.raises(PermissionDeniedError, match="ugosa-server token create"),
    ):
        client.models()


@pytest.mark.parametrize(
    ("host", "authority", "words"),
    [
        ("127.0.0.1", "other.pem", "nobody vouches for its certificate.* --ca"),
        ("localhost", "ca.pem", "another name"),
        ("127.0.0.1", "token", "not the PEM file"),
    ],
)
def test_a_server_that_the_authority_does_not_know_gets_no_token(remote, host, authority, words):
    address, token, folder = remote
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    identity = Identity(token=token, ca_file=folder / authority)
    target = address.replace("127.0.0.1", host)  # the second: a name that the certificate does not have
    with (
        UgosaClient(target, identity=identity, retry=RetryPolicy(attempts=1)) as client,
        pytest.raises(ServerUnavailableError, match=words),
    ):
        client.models()


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (Identity(ca_file="/nowhere/ca.pem"), "cannot read /nowhere/ca.pem"),
        (Identity(certificate_file="cert.pem"), "both"),
    ],
)
def test_files_that_are_missing_are_named(identity, words):
    with (
        pytest.raises(BadInputError, match=words),
        contextlib.closing(UgosaClient("studio.example:50051", identity=identity)),
    ):
        pass


def test_an_empty_token_file_is_named(tmp_path, capsys):
    (tmp_path / "token").write_text("\n")
    assert main(["models", "--token-file", str(tmp_path / "token")]) == 2
    assert "holds no token" in capsys.readouterr().err


def test_a_token_of_several_lines_or_other_letters_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "token").write_text("ugosa_1\nugosa_2\n")
    assert main(["models", "--token-file", str(tmp_path / "token")]) == 2
    assert "the one line that was printed" in capsys.readouterr().err
    monkeypatch.setenv("UGOSA_TOKEN", "ü")
    assert main(["models"]) == 2
