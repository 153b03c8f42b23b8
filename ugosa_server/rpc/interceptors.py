"""Interceptor of every call: finds out the caller, refuses undecodable requests, gives errors their status.

| the call came | its caller |
|---|---|
| with `authorization: Bearer TOKEN` | the token's principal; a token that is not valid is always refused |
| over TLS with a client certificate | the common name of the certificate's subject |
| over the Unix socket | "local": only the server's user can open it |
| over plain loopback TCP | "local", unless `require_token_on_loopback` |
| otherwise | nobody: UNAUTHENTICATED |

It stands before every RPC, health and reflection and unknown methods included, so a stranger
learns nothing but that a token is wanted. Uploads and jobs carry their principal, and what belongs to another
one answers exactly as if it were not there.

A caller is known before the first byte of its request is read: every method is served as one that takes a
stream, whose single message is then asked for, and gives one, so that a refusal is a status alone.

Bytes that are no message of their method are refused as bad input, once the caller is known. Left alone, gRPC
answers them with UNKNOWN and the name of a Python class, before any interceptor is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from ugosa_server.errors import BadMessageError, UnauthenticatedError
from ugosa_server.jobs.model import LOCAL_PRINCIPAL, PRINCIPAL_PATTERN
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.rpc.error_table import set_status

REFUSAL_LOG_INTERVAL_S = 1.0
RECHECK_S = 1.0  # the longest that a stream of a revoked token goes on yielding
REFUSAL = (
    "this server wants to know who is calling: give `ugosa` a token that it accepts (`ugosa-server token"
    " create` makes one) by --token-file or UGOSA_TOKEN, or send it as `authorization: Bearer TOKEN`; or"
    " connect with a client certificate where it asks for one"
)

BAD_TOKEN = (
    "this server does not accept the token that came with the call: it is mistyped, expired or revoked;"
    " whoever runs the server can make another one with `ugosa-server token create`"
)

BAD_CERTIFICATE = (
    "the client certificate is good, but its common name is that of no caller: it must be 1 to 64 letters,"
    " digits, dots, dashes, underscores or @, begin with a letter or digit, and not be `local`; have another"
    " certificate issued"
)

Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)

_principal: ContextVar[str] = ContextVar("principal")


def current_principal() -> str:
    """Return the principal of the call that is being handled."""
    return _principal.get()


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets a call through to its handler once its caller is known by token, certificate or transport."""

    def __init__(self, store: AsyncStore, *, require_token_on_loopback: bool = False) -> None:
        self._store = store
        self._require_token_on_loopback = require_token_on_loopback
        self._log_again_s = 0.0
        self._unlogged = 0
        self.last_call_s = asyncio.get_running_loop().time()
        """When the newest call began, on the event loop's clock; at first when this was made."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """See grpc.aio.ServerInterceptor."""
        self.last_call_s = asyncio.get_running_loop().time()
        handler = cast(Any, await continuation(handler_call_details))
        method = handler_call_details.method
        if handler is None:
            handler = grpc.stream_unary_rpc_method_handler(_unimplemented)
        behaviour = (
            handler.unary_stream
            or handler.stream_stream
            or _of_one_answer(handler.unary_unary or handler.stream_unary)
        )
        read = handler.request_deserializer
        guarded: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._guarded(behaviour, method, read, handler.request_streaming),
            response_serializer=handler.response_serializer,
        )
        return guarded

    def _guarded(
        self,
        behaviour: Callable[[Any, Context], AsyncGenerator[Any, None]],
        method: str,
        read: Callable[[bytes], Any],
        takes_stream: bool,
    ) -> Callable[..., AsyncIterator[Any]]:
        async def guarded(_: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            now_s = asyncio.get_running_loop().time
            try:
                _principal.set(await self._principal_of(context))
                checked_s = now_s()
                messages = _messages(context, read)
                request = messages if takes_stream else await _only(messages)
                async with contextlib.aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        if now_s() > checked_s + RECHECK_S:
                            _principal.set(await self._principal_of(context))
                            checked_s = now_s()
                        yield answer
            except Exception as error:
                set_status(context, error, method)

        return guarded

    async def _principal_of(self, context: Context) -> str:
        """Return the caller's name; raise UnauthenticatedError if it proves nothing, or something false."""
        token = _bearer_token(tuple(context.invocation_metadata() or ()))
        auth = context.auth_context()  # empty without TLS
        principal: str | None = None
        if token is not None:
            principal = await self._store(lambda s: s.tokens.principal_of(token))
        elif b"ssl" in auth.get("transport_security_type", ()):
            principal = _certificate_principal(auth)
        elif context.peer().startswith("unix:") or not self._require_token_on_loopback:
            principal = LOCAL_PRINCIPAL  # without TLS the server binds nothing but the socket and loopback
        if principal is not None:
            return principal
        if token is not None:
            reason, message = "bad token", BAD_TOKEN
        elif "x509_pem_cert" in auth:
            names = [name.decode(errors="replace") for name in auth.get("x509_common_name", ())]
            reason, message = f"no caller is named by the common name {names}", BAD_CERTIFICATE
        else:
            reason, message = "no proof of identity", REFUSAL
        self._log_refusal(context.peer(), reason)
        raise UnauthenticatedError(message)

    def _log_refusal(self, peer: str, reason: str) -> None:
        """Log a refused call; of a flood, one a second and how many there were."""
        self._unlogged += 1
        now_s = time.monotonic()
        if now_s >= self._log_again_s:
            log.warning(
                "a call from %s was refused: %s (%d since the last line)", peer, reason, self._unlogged
            )
            self._log_again_s, self._unlogged = now_s + REFUSAL_LOG_INTERVAL_S, 0


def _bearer_token(metadata: Sequence[tuple[str, str | bytes]]) -> str | None:
    """Return the token of a call; "" when there is an authorization that is none, None without any."""
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        return None
    scheme, _, token = str(values[0]).partition(" ")
    return token.strip() if len(values) == 1 and scheme.casefold() == "bearer" else ""


def _certificate_principal(auth: Mapping[str, Iterable[bytes]]) -> str | None:
    """Return the subject's common name; gRPC has verified the certificate against `tls_client_ca`."""
    names = [name.decode(errors="replace") for name in auth.get("x509_common_name", ())]
    if len(names) != 1 or names[0] == LOCAL_PRINCIPAL or not PRINCIPAL_PATTERN.fullmatch(names[0]):
        return None  # nobody from elsewhere is whoever sits at this machine
    return names[0]


def _of_one_answer(
    behaviour: Callable[[Any, Context], Awaitable[Any]],
) -> Callable[[Any, Context], AsyncGenerator[Any, None]]:
    async def answers(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        answer = await behaviour(request, context)
        if context.code() is None:  # otherwise the behaviour has refused
            yield answer

    return answers


async def _unimplemented(request: Any, context: Context) -> None:
    context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    context.set_details("this server has no such method")


async def _messages(context: Context, read: Callable[[bytes], Any]) -> AsyncGenerator[Any, None]:
    """Yield the messages of a call; raise BadMessageError at one that cannot be read.

    gRPC's own iterator is left alone: it and its generator hold each other, and the call, until Python
    collects cycles (see error_table.py).
    """
    while (data := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
        try:
            message = read(data)
        except DecodeError:
            raise BadMessageError(
                f"cannot parse the request ({len(data)} bytes): the client's .proto version does not match"
                " this server"
            ) from None
        yield message


async def _only(messages: AsyncGenerator[Any, None]) -> Any:
    """Return the request of a call that sends one."""
    async with contextlib.aclosing(messages):
        async for message in messages:
            return message
    raise BadMessageError("the call ended before its request came")
