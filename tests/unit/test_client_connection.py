"""Addresses are checked, and what goes wrong is said in words that help."""

import contextlib
import socket
import threading
from concurrent import futures

import grpc
import pytest

from tests.helpers.breaking_server import BreakingServer, breaking_server, progress_events
from ugosa_client import ServerUnavailableError, UgosaClient, UgosaClientError, default_target, errors
from ugosa_client.address import MAX_SOCKET_PATH_BYTES, grpc_target
from ugosa_client.connection import RetryPolicy
from ugosa_client.wire.ugosa.v1 import model_service_pb2_grpc
from ugosa_client.wire.ugosa.v1.job_service_pb2_grpc import JobServiceStub
from ugosa_server.config import ServerConfig


def test_the_default_address_is_that_of_the_server(monkeypatch, tmp_path):
    monkeypatch.setenv("UGOSA_SERVER", "10.0.0.1:50051")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_target() == "10.0.0.1:50051"
    monkeypatch.delenv("UGOSA_SERVER")
    assert default_target() == "unix:/run/user/1/ugosa/ugosa.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_target() == "unix:/state/ugosa/ugosa.sock"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_target() == f"unix:{tmp_path}/.local/state/ugosa/ugosa.sock"


@pytest.mark.parametrize("name", ["plain", "with space", "käse 日本", "what?", "a#b", "100%"])
def test_a_socket_of_any_name_is_reached(tmp_path, name):
    address = f"unix:{tmp_path / name}"
    server = BreakingServer().serve(address)
    try:
        with UgosaClient(address) as client:
            assert [model.name for model in client.models()] == ["tiny"]
    finally:
        server.stop(grace=0)


def test_a_busy_server_is_not_taken_for_absent(tmp_path):
    server = BreakingServer().serve(f"unix:{tmp_path}/real")
    door = socket.socket(socket.AF_UNIX)
    door.bind(f"{tmp_path}/slow")
    door.listen(1)  # the system takes connections from now on; nobody speaks on them yet

    def pass_on(source, sink):
        with contextlib.suppress(OSError):  # closed in the end
            while data := source.recv(65536):
                sink.sendall(data)

    def greet_late():
        threading.Event().wait(0.5)
        outside, _ = door.accept()
        inside = socket.socket(socket.AF_UNIX)
        inside.connect(f"{tmp_path}/real")
        for ends in ((outside, inside), (inside, outside)):
            threading.Thread(target=pass_on, args=ends, daemon=True).start()

    threading.Thread(target=greet_late, daemon=True).start()
    try:
        with UgosaClient(f"unix:{tmp_path}/slow") as client:
            assert [model.name for model in client.models()] == ["tiny"]
    finally:
        server.stop(grace=0)
        door.close()


def test_a_proxy_of_the_net_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    real = BreakingServer()
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(real, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        for host in ("127.0.0.1", "localhost"):
            with UgosaClient(f"{host}:{port}") as client:
                assert [model.name for model in client.models()] == ["tiny"]
    finally:
        server.stop(grace=0)


def test_a_socket_path_longer_than_the_system_takes_is_explained():
    path = "/tmp/" + "ä" * 60
    with pytest.raises(errors.BadInputError, match=rf"has 125 bytes, .* at most {MAX_SOCKET_PATH_BYTES}"):
        UgosaClient(f"unix:{path}")


@pytest.mark.parametrize(
    "target",
    ["localhost", "", "unix:", "host:", ":1", "host:port", "host:99999", "host:\u00b2", "h:" + "9" * 5000],
)
def test_what_is_no_address_is_refused(target):
    with pytest.raises(errors.BadInputError, match=r"write unix:/path/to/ugosa\.sock"):
        grpc_target(target)


def test_an_absent_server_is_an_error_at_once(tmp_path):
    patient = RetryPolicy(attempts=100, initial_s=60, maximum_s=60)
    with (
        UgosaClient(f"unix:{tmp_path}/none.sock", retry=patient) as client,
        pytest.raises(ServerUnavailableError, match=r"none\.sock .*`ugosa-server serve`.*UGOSA_SERVER"),
    ):
        client.models()


def test_a_server_that_is_gone_is_waited_for_only_once(tmp_path, monkeypatch):
    waits_s: list[float] = []
    monkeypatch.setattr("ugosa_client.connection.time.sleep", waits_s.append)
    address = f"unix:{tmp_path}/s"
    server = BreakingServer().serve(address)
    with UgosaClient(address, retry=RetryPolicy(attempts=3)) as client:
        assert client.models()
        server.stop(grace=0).wait()
        for _ in range(2):
            with pytest.raises(ServerUnavailableError):
                client.models()
        assert len(waits_s) == 2


def test_patience_outlasts_a_server_that_drains_and_starts():
    policy = RetryPolicy()
    patience_s = sum(policy.delay_s(failures) for failures in range(1, policy.attempts))
    assert patience_s > ServerConfig().drain_grace_s + 30


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REGION", errors.BadRegionError),
        (grpc.StatusCode.INVALID_ARGUMENT, "ALL_SILENT", errors.BadRegionError),
        (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SOURCE", errors.UnknownSourceError),
        (grpc.StatusCode.INVALID_ARGUMENT, "SOME_NEW_WORD", errors.BadInputError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", errors.ResourceExhaustedError),
        (grpc.StatusCode.DATA_LOSS, "SHA256_MISMATCH", errors.IntegrityError),
        (grpc.StatusCode.UNAVAILABLE, "DRAINING", errors.ServerBusyError),
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION", errors.PermissionDeniedError),
        (grpc.StatusCode.INTERNAL, "INTERNAL", errors.ServerError),
        (grpc.StatusCode.INTERNAL, "DECODER_FAILED", errors.ServerError),
        (grpc.StatusCode.UNAVAILABLE, "DECODER_STOPPED", errors.ServerBusyError),
        (grpc.StatusCode.DATA_LOSS, "STORE_DAMAGED", errors.ServerError),
        (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_DAMAGED", errors.UploadDamagedError),
    ],
)
def test_a_refusal_becomes_the_class_of_its_reason(tmp_path, status, reason, kind):
    with breaking_server(tmp_path) as (server, client):
        server.breaks, server.refusals = [0] * 4, [(status, reason)] * 4
        server.add_succeeded_job("j", {})
        server.events["j"] = progress_events("j", 1)
        with pytest.raises(UgosaClientError) as caught:
            list(client.watch("j"))
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.reason) == (f"refused with {reason}", reason)


def test_a_call_ended_by_closing_the_client_says_so(tmp_path):
    with breaking_server(tmp_path) as (_, client):
        client.models()
        client.close()
        with pytest.raises(errors.ClosedError, match="closed"):
            client.models()
        with pytest.raises(errors.ClosedError, match="closed"):
            list(client.watch("j"))


def test_a_client_closed_by_another_thread_says_so(tmp_path, monkeypatch):
    class ClosedMeanwhile(JobServiceStub):
        def __init__(self, channel):
            super().__init__(channel)
            self.GetJob, self.WatchJob = map(once_closed, (self.GetJob, self.WatchJob))

    def once_closed(method):
        def call(*arguments, **options):
            client.close()
            return method(*arguments, **options)

        return call

    monkeypatch.setattr("ugosa_client.connection.JobServiceStub", ClosedMeanwhile)
    for ask in (lambda: client.get_job("j"), lambda: list(client.watch("j"))):
        with breaking_server(tmp_path) as (_, client), pytest.raises(errors.ClosedError, match="closed"):
            ask()
