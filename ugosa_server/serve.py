"""Front process: store, jobs, engine, RPC and OSC, from start to drained end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from functools import partial
from pathlib import Path

from ugosa_server.addresses import TcpAddress, lock_file, split_host_port, tls_files
from ugosa_server.config import ServerConfig
from ugosa_server.engines import Engine, LocalEngine
from ugosa_server.engines.ray import RayEngine
from ugosa_server.errors import ConfigError
from ugosa_server.files import make_state_dir
from ugosa_server.jobs import EventHub
from ugosa_server.jobs.model import LOCAL_PRINCIPAL
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.retention import check_state_dir, keep_sweeping, remove_leftovers
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import STORE_FILE_NAME, AsyncStore
from ugosa_server.jobs.uploads import Uploads
from ugosa_server.metrics import Metrics, MetricsServer
from ugosa_server.models.registry import AUTO, FALLBACK, HOW_TO_GET_BETTER, ModelRegistry
from ugosa_server.osc import JobFeed, OscService
from ugosa_server.rpc import RpcServer, raise_descriptor_limit
from ugosa_server.scheduling import Scheduler
from ugosa_server.supervision import Supervisor, end, keep_running

HEALTH_INTERVAL_S = 0.5
RPC_STOP_GRACE_S = 2.0

log = logging.getLogger(__name__)


async def serve(config: ServerConfig) -> str:
    """Run the server until SIGTERM, SIGINT or SIGHUP, or until a part of it fails; then drain it.

    Returns:
        The sentence on the part that failed; empty after a signal.

    Raises:
        ConfigError: the server cannot start like this.
        UnknownModelError: the configured model is not there.
    """
    raise_descriptor_limit()
    stopping = asyncio.Event()
    supervisor = Supervisor()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signal_number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.umask, os.umask(0o077))  # songs, stems and tokens are for this user alone
        registry = ModelRegistry(Path(folder) for folder in config.model_dirs)
        model = registry.default(config.model)
        if config.model == AUTO and model.name == FALLBACK:
            log.warning(HOW_TO_GET_BETTER)

        state_dir = make_state_dir(config.state_dir)
        check_state_dir(state_dir)
        stack.enter_context(lock_file(state_dir / "lock", f"the state directory {state_dir}"))
        spool = Spool(state_dir, config.min_free_bytes)
        store = await spool.deleting(partial(asyncio.to_thread, AsyncStore, state_dir / STORE_FILE_NAME))
        stack.callback(store.close)
        clean = partial(remove_leftovers, store, spool, move_unknown=config.move_unknown)
        await spool.deleting(clean)

        hub = EventHub()
        quotas = Quotas(config)
        uploads = Uploads(store, spool, config, quotas)
        takes_pictures = bool(config.video_encoder)
        jobs = JobQueue(store, spool, registry, hub, quotas, model.name, takes_pictures=takes_pictures)
        engine = await _start_engine(config, state_dir, str(model.path))
        stack.push_async_callback(engine.close)
        scheduler = Scheduler(jobs, engine, config.cancel_deadline_s)
        await spool.deleting(scheduler.recover)
        spool.take_ballast()

        await _start_osc(config, jobs, stack)
        if config.metrics:
            metrics = MetricsServer(Metrics(uploads, engine))
            await metrics.start(config.metrics)
            stack.push_async_callback(metrics.close)
            print(f"ugosa-server answers Prometheus on http://{metrics.address}/metrics", flush=True)
        rpc = RpcServer(uploads, jobs, require_token_on_loopback=config.require_token_on_loopback)
        addresses = await rpc.start(
            config.listen,
            tls_files(config.tls_cert, config.tls_key, config.tls_client_ca),
            has_tokens=await store(lambda s: s.tokens.any_valid()),
        )
        stack.push_async_callback(rpc.stop, RPC_STOP_GRACE_S)
        stack.push_async_callback(end, keep_running(keep_sweeping(uploads, jobs, config), "retention"))
        scheduler.start()
        for address in addresses:
            print(f"ugosa-server listens on {address}", flush=True)

        await _keep_health(config.exit_when_idle_s, jobs, engine, rpc, stopping, supervisor)
        failure = supervisor.failure  # from here on tasks may end
        log.info("draining: nothing new is taken; a running job has %.0f s to end", config.drain_grace_s)
        uploads.draining = jobs.draining = True
        rpc.health.set(serving=False)
        await scheduler.drain(config.drain_grace_s)
        hub.close()
    log.info("drained")
    return failure


async def _start_engine(config: ServerConfig, state_dir: Path, preload: str) -> Engine:
    if config.engine == "local":
        return LocalEngine(config.worker, preload)
    return await RayEngine.connect(config, state_dir, preload)


async def _keep_health(
    idle_limit_s: float,
    jobs: JobQueue,
    engine: Engine,
    rpc: RpcServer,
    stopping: asyncio.Event,
    supervisor: Supervisor,
) -> None:
    """Report the engine's health by the health service, until the server is stopped, idle or fails.

    Idle: without an unfinished job, an open stream and a call for `idle_limit_s` seconds; 0 = never.
    """
    now_s = asyncio.get_running_loop().time
    busy_s = now_s()
    while not (stopping.is_set() or supervisor.failed.is_set()):
        health = await engine.health()
        if health.refusal:
            raise ConfigError(health.refusal)
        rpc.health.set(serving=health.ready)
        unfinished = await jobs.store(lambda s: s.jobs.unfinished_ids())
        if jobs.quotas.open_streams or unfinished:
            busy_s = now_s()
        if 0 < idle_limit_s <= now_s() - max(busy_s, rpc.last_call_s):
            log.info("idle for as long as exit_when_idle_s: the server ends")
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), HEALTH_INTERVAL_S)


async def _start_osc(config: ServerConfig, jobs: JobQueue, stack: contextlib.AsyncExitStack) -> None:
    if not config.osc and not config.osc_peers:
        return
    feed = JobFeed(jobs, LOCAL_PRINCIPAL)
    await feed.load()
    listen = _osc_address(config.osc) if config.osc else None
    service = OscService(feed, listen, [_osc_address(peer) for peer in config.osc_peers])
    await service.start()
    stack.push_async_callback(service.close)
    if service.listen_address is not None:
        print(f"ugosa-server takes OSC on {TcpAddress(*service.listen_address).target}", flush=True)
    stack.push_async_callback(
        end, keep_running(feed.run(service.publisher.publish, service.publisher.discard), "osc")
    )


def _osc_address(text: str) -> tuple[str, int]:
    found = split_host_port(text)
    if found is None:
        raise ConfigError(f"OSC address {text!r} must be HOST:PORT")
    return found
