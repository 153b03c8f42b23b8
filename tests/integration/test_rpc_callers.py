"""Nobody is let in who should not be, and nobody learns what they should not know: over real gRPC and TLS."""

import socket
import stat

import grpc
import grpc.aio
import pytest
import trustme
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.helpers.api import Api, error_info, listening
from tests.helpers.scripted_engine import Gate, progress, succeed
from ugosa_server.addresses import TlsFiles
from ugosa_server.errors import ConfigError
from ugosa_server.jobs.store import STORE_FILE_NAME, Store
from ugosa_server.wire.ugosa.v1 import (
    job_service_pb2,
    marks_service_pb2,
    model_service_pb2,
    separation_service_pb2,
    upload_service_pb2,
)

pytestmark = pytest.mark.asyncio

ANY_PORT = ["127.0.0.1:0"]
# What grpc.aio's client says when the server has ended a call that it was just writing to.
CLIENT_LOST_A_RACE = "Internal error from Core"
NO_MESSAGE = b"\xff\xff\xff"
CALL_S = 60.0  # on a machine that is busy with other things


def calling_as(token):
    """Interceptors that send a token with every call."""
    kinds = (
        ("intercept_unary_unary", grpc.aio.UnaryUnaryClientInterceptor),
        ("intercept_unary_stream", grpc.aio.UnaryStreamClientInterceptor),
        ("intercept_stream_stream", grpc.aio.StreamStreamClientInterceptor),
    )

    async def call(self, continuation, details, request):
        return await continuation(
            details._replace(metadata=grpc.aio.Metadata(("authorization", f"Bearer {token}"))), request
        )

    return [type("Calling", (kind,), {name: call})() for name, kind in kinds]


def channel_as(address, token, credentials=None):
    interceptors = calling_as(token) if token is not None else None
    if credentials is None:
        return grpc.aio.insecure_channel(address, interceptors=interceptors)
    return grpc.aio.secure_channel(address, credentials, interceptors=interceptors)


async def test_address_of_an_ipv6_port_is_one_that_a_client_takes(tmp_path):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with (
        listening(tmp_path, listen=["[::1]:0"]) as (_, (address,)),
        channel_as(address, None) as channel,
    ):
        await Api(channel).models.ListModels(model_service_pb2.ListModelsRequest(), timeout=CALL_S)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def pem_files(folder, authority, *, client_ca=None):
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    if client_ca is not None:
        client_ca.cert_pem.write_to_path(folder / "clients.pem")
    return TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "clients.pem" if client_ca else None)


def trusting(authority, client=None):
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        client.private_key_pem.bytes() if client else None,
        b"".join(blob.bytes() for blob in client.cert_chain_pems) if client else None,
    )


def all_methods():
    """(path, kind) of every method that the server has, and of two that it has not."""
    services = [
        descriptor.services_by_name[name]
        for descriptor, name in (
            (upload_service_pb2.DESCRIPTOR, "UploadService"),
            (job_service_pb2.DESCRIPTOR, "JobService"),
            (marks_service_pb2.DESCRIPTOR, "MarksService"),
            (model_service_pb2.DESCRIPTOR, "ModelService"),
            (separation_service_pb2.DESCRIPTOR, "SeparationService"),
            (health_pb2.DESCRIPTOR, "Health"),
            (reflection_pb2.DESCRIPTOR, "ServerReflection"),
        )
    ]
    for service in services:
        for method in service.methods:
            kinds = ("stream" if method.client_streaming else "unary") + "_"
            kinds += "stream" if method.server_streaming else "unary"
            yield f"/{service.full_name}/{method.name}", kinds
    yield "/ugosa.v1.JobService/NoSuchMethod", "unary_unary"
    yield "/no.such.Service/Call", "stream_stream"


async def outcome(channel, path, kind, data=b""):
    """(status code, message) of a call with one message, an empty one by default."""
    call = getattr(channel, kind)(path)
    request = iter([data]) if kind.startswith("stream") else data
    try:
        if kind.endswith("stream"):
            await call(request, timeout=CALL_S).read()
        else:
            await call(request, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        if error.details() == CLIENT_LOST_A_RACE:
            return await outcome(channel, path, kind, data)
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


async def test_every_method_refuses_strangers_alike(tmp_path):
    async with listening(tmp_path, listen=ANY_PORT, require_token_on_loopback=True) as (front, (address,)):
        expired = await front.store(lambda s: s.tokens.create("anna", -1.0))
        revoked = await front.store(lambda s: s.tokens.create("anna", None))
        other_secret = revoked[:-43] + "B" * 43
        await front.store(lambda s: s.tokens.revoke(revoked.split("_")[1]))
        outcomes: dict[bool, set[tuple[grpc.StatusCode, str]]] = {True: set(), False: set()}
        for token in [None, "", "nonsense", expired, revoked, other_secret, "ugosa_" + "0" * 5000]:
            async with channel_as(address, token) as channel:
                for path, kind in all_methods():
                    outcomes[token is not None].add(await outcome(channel, path, kind))
                    outcomes[token is not None].add(await outcome(channel, path, kind, NO_MESSAGE))
        for has_token, words in (
            (True, "does not accept the token"),
            (False, "wants to know who is calling"),
        ):
            ((code, message),) = outcomes[has_token]  # a false token's name says nothing, whatever it is
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert words[has_token] in message
            assert "ugosa-server token create" in message


async def test_undecodable_request_is_bad_input_to_every_method(tmp_path):
    async with listening(tmp_path) as (_, (address,)), grpc.aio.insecure_channel(address) as channel:
        for path, kind in all_methods():
            code, message = await outcome(channel, path, kind, NO_MESSAGE)
            if code is not grpc.StatusCode.UNIMPLEMENTED:
                assert code is grpc.StatusCode.INVALID_ARGUMENT, path
                assert message.startswith("cannot parse the request (3 bytes)"), path


async def test_token_opens_every_method_and_a_false_one_none(tmp_path):
    listen = [*ANY_PORT, f"unix:{tmp_path}/u.sock"]
    async with listening(tmp_path, listen=listen, require_token_on_loopback=True) as (front, (port, socket)):
        token = await front.store(lambda s: s.tokens.create("anna", 3600.0))
        async with channel_as(port, token) as channel:
            codes = {path: (await outcome(channel, path, kind))[0] for path, kind in all_methods()}
        assert grpc.StatusCode.UNAUTHENTICATED not in codes.values()
        assert codes["/no.such.Service/Call"] is grpc.StatusCode.UNIMPLEMENTED
        assert codes["/ugosa.v1.ModelService/ListModels"] is grpc.StatusCode.OK
        assert codes["/grpc.health.v1.Health/Check"] is grpc.StatusCode.OK
        async with channel_as(socket, None) as channel:
            assert (await outcome(channel, "/ugosa.v1.JobService/ListJobs", "unary_unary"))[0].name == "OK"
        async with channel_as(socket, token + "x") as channel:
            found = await outcome(channel, "/ugosa.v1.JobService/ListJobs", "unary_unary")
            assert found[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_token_made_or_revoked_counts_at_once(tmp_path):
    async with listening(tmp_path, listen=ANY_PORT, require_token_on_loopback=True) as (_, (address,)):
        beside = Store(tmp_path / STORE_FILE_NAME)
        token = beside.tokens.create("anna", None)
        async with channel_as(address, token) as channel:
            listing = ("/ugosa.v1.JobService/ListJobs", "unary_unary")
            assert (await outcome(channel, *listing))[0] is grpc.StatusCode.OK
            beside.tokens.revoke(beside.tokens.all()[0].token_id)
            assert (await outcome(channel, *listing))[0] is grpc.StatusCode.UNAUTHENTICATED
        beside.close()


async def test_stream_of_a_revoked_token_ends_with_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr("ugosa_server.rpc.interceptors.RECHECK_S", 0.0)
    gate = Gate()
    script = [progress(1), gate, progress(2), succeed]
    async with listening(tmp_path, script, listen=ANY_PORT, require_token_on_loopback=True) as (
        front,
        (port,),
    ):
        token = await front.store(lambda s: s.tokens.create("anna", None))
        async with channel_as(port, token) as channel:
            api = Api(channel)
            job = await api.job()
            call = api.jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id))
            await call.read()
            await gate.reached.wait()
            await front.store(lambda s: s.tokens.revoke(token.split("_")[1]))
            gate.open()
            with pytest.raises(grpc.aio.AioRpcError) as error:
                [answer async for answer in call]
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_belongs_to_another_answers_as_if_it_were_not_there(tmp_path):
    async with listening(tmp_path, listen=ANY_PORT, require_token_on_loopback=True) as (front, (address,)):
        tokens = [await front.store(lambda s, n=name: s.tokens.create(n, None)) for name in ("anna", "ben")]
        async with channel_as(address, tokens[0]) as first, channel_as(address, tokens[1]) as second:
            anna, ben = Api(first), Api(second)
            upload = await anna.upload()
            job = await anna.job(upload_id=upload.upload_id)
            await anna.watch(job.job_id)

            async def said(api, call, request):
                answer = call(api)(request)
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await (answer.read() if hasattr(answer, "read") else answer)
                return error_info(error.value), error.value.details()

            jobs, uploads = job_service_pb2, upload_service_pb2
            for call, of_job in (
                (lambda api: api.jobs.GetJob, lambda i: jobs.GetJobRequest(job_id=i)),
                (lambda api: api.jobs.CancelJob, lambda i: jobs.CancelJobRequest(job_id=i)),
                (lambda api: api.jobs.AcceptJob, lambda i: jobs.AcceptJobRequest(job_id=i)),
                (lambda api: api.jobs.DeleteJob, lambda i: jobs.DeleteJobRequest(job_id=i)),
                (lambda api: api.jobs.SetMarks, lambda i: jobs.SetMarksRequest(job_id=i)),
                (lambda api: api.jobs.WatchJob, lambda i: jobs.WatchJobRequest(job_id=i)),
                (lambda api: api.jobs.ReadStem, lambda i: jobs.ReadStemRequest(job_id=i, source="bass")),
                (
                    lambda api: api.jobs.ReadReport,
                    lambda i: jobs.ReadReportRequest(job_id=i, format=jobs.REPORT_FORMAT_JSON),
                ),
            ):
                nobodys = "job-0123456789abcdef"
                of_anna, of_nobody = (
                    await said(ben, call, of_job(job.job_id)),
                    await said(ben, call, of_job(nobodys)),
                )
                assert of_anna[0] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", {"unknown": "job_id"})
                assert of_anna[1].replace(job.job_id, nobodys) == of_nobody[1]
            for call, of_upload in (
                (lambda api: api.uploads.GetUpload, lambda i: uploads.GetUploadRequest(upload_id=i)),
                (lambda api: api.uploads.DeleteUpload, lambda i: uploads.DeleteUploadRequest(upload_id=i)),
                (
                    lambda api: api.jobs.CreateJob,
                    lambda i: jobs.CreateJobRequest(request_id="r", upload_id=i),
                ),
            ):
                of_anna, _ = await said(ben, call, of_upload(upload.upload_id))
                assert of_anna == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", {"unknown": "upload_id"})
            assert not (await ben.jobs.ListJobs(jobs.ListJobsRequest())).jobs
            same = await ben.job(request_id=job.request_id)
            assert same.job_id != job.job_id, "a request_id is its principal's own"
            assert len((await anna.jobs.ListJobs(jobs.ListJobsRequest())).jobs) == 1


async def test_tls_with_a_token_reaches_beyond_loopback(tmp_path, authority):
    tls = pem_files(tmp_path, authority)
    async with listening(tmp_path, listen=["0.0.0.0:0"], tls=tls, has_tokens=True) as (front, (bound,)):
        address = bound.replace("0.0.0.0", "127.0.0.1")
        token = await front.store(lambda s: s.tokens.create("anna", None))
        models = model_service_pb2.ListModelsRequest()
        async with channel_as(address, token, trusting(authority)) as channel:
            assert (await Api(channel).models.ListModels(models)).models
        async with channel_as(address, None, trusting(authority)) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await Api(channel).models.ListModels(models)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        for credentials in (None, trusting(trustme.CA())):  # plain, and not knowing the server's authority
            async with channel_as(address, token, credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await Api(channel).models.ListModels(models, timeout=CALL_S)
                assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_certificate_says_who_is_calling(tmp_path, authority):
    clients = trustme.CA()
    tls = pem_files(tmp_path, authority, client_ca=clients)
    async with listening(tmp_path, listen=["0.0.0.0:0"], tls=tls) as (front, (bound,)):
        address = bound.replace("0.0.0.0", "127.0.0.1")
        anna = clients.issue_cert("anna@studio.example", common_name="anna")
        async with channel_as(address, None, trusting(authority, anna)) as channel:
            job = await Api(channel).job()
        assert (await front.jobs.get("anna", job.job_id)).job_id == job.job_id
        nameless = clients.issue_cert("anna@studio.example")
        owner = clients.issue_cert("anna@studio.example", common_name="local")  # whoever sits at the machine
        spaced = clients.issue_cert("anna@studio.example", common_name="Anna Müller")
        for client in (nameless, owner, spaced):
            async with channel_as(address, None, trusting(authority, client)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await Api(channel).models.ListModels(model_service_pb2.ListModelsRequest())
                assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert "its common name is that of no caller" in str(error.value.details())
        stranger = trustme.CA().issue_cert("anna@studio.example", common_name="anna")
        for client in (None, stranger):
            async with channel_as(address, None, trusting(authority, client)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await Api(channel).models.ListModels(
                        model_service_pb2.ListModelsRequest(), timeout=CALL_S
                    )
                assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("listen", "named", "has_tokens", "words"),
    [
        ("0.0.0.0:0", (), True, "tls_cert and tls_key"),
        ("[::]:0", (), False, "tls_cert and tls_key"),
        ("0.0.0.0:0", ("cert", "key"), False, "token create"),
        ("0.0.0.0:0", ("cert", "cert"), True, "cannot be set up"),
        ("127.0.0.1:0", ("cert", "nowhere"), True, "nowhere.pem"),
    ],
)
async def test_what_is_missing_is_named_and_nothing_is_opened(
    tmp_path, authority, listen, named, has_tokens, words
):
    pem_files(tmp_path, authority)
    tls = TlsFiles(*(tmp_path / f"{name}.pem" for name in named)) if named else None
    socket = tmp_path / "u.sock"
    with pytest.raises(ConfigError, match=words):
        async with listening(tmp_path, listen=[f"unix:{socket}", listen], tls=tls, has_tokens=has_tokens):
            pass
    assert not socket.exists()


async def test_a_port_that_is_taken_is_named_with_the_way_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{taken}: another program uses it.*--listen"):
            async with listening(tmp_path, listen=[taken]):
                pass


async def test_the_socket_and_its_folder_are_its_users_alone(tmp_path):
    socket = tmp_path / "new" / "u.sock"
    async with listening(tmp_path, listen=[f"unix:{socket}"]):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_ISSOCK(socket.stat().st_mode)
