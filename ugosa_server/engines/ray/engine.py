"""Engine on a Ray cluster: resident workers on many GPUs and machines, as actors.

The server is a driver of the cluster: its machine has a Ray node (`ray start`), or `embedded` starts one that
lives and dies with the server. Actors die with their driver. When the driver's own node is lost, the runs are
lost with it and everything is connected and made again. `ray` is an optional dependency, imported here only
when the engine starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ugosa_server import __version__
from ugosa_server.config import ServerConfig, WorkerSettings
from ugosa_server.engines.base import EngineHealth, WorkerEngine
from ugosa_server.engines.ray.actor import CONCURRENCY_GROUPS, GROUP_OF_METHOD, WorkerActor
from ugosa_server.engines.ray.files import NodeFolder
from ugosa_server.engines.ray.worker import ActorCalls, RayWorker
from ugosa_server.errors import ConfigError
from ugosa_server.files import expanded
from ugosa_server.jobs import RunSpec
from ugosa_server.supervision import end, keep_running

EMBEDDED = "embedded"
TOKEN_NAME = "ray-token"  # in the state directory
SHARES_FILES = {"auto": None, "yes": True, "no": False}  # None: each worker is asked
NAMESPACE = "ugosa"
SESSION_CHECK_S = 2.0
RECONNECT_DELAY_S = 5.0
EMBEDDED_STORE_BYTES = 200 * 1024**2  # of objects in memory: chunks and events only

R = TypeVar("R")
log = logging.getLogger(__name__)


def settings_of_actor(config: ServerConfig, *, on_gpus: bool) -> WorkerSettings:
    """Return the settings of an actor: a worker's, on the GPU or the CPU slots that Ray gives it."""
    return replace(config.worker, device="cuda" if on_gpus else "cpu", threads=max(1, config.threads))


class RaySession:
    """Connection of this process to a cluster; Ray's blocking calls run on a thread of their own."""

    def __init__(self, config: ServerConfig, state_dir: Path) -> None:
        """Prepare the environment, which Ray reads when it is imported.

        Args:
            config: the settings whose names begin with `ray_`.
            state_dir: an embedded cluster's own token is kept there.

        Raises:
            ConfigError: ray is not installed.
        """
        embedded = config.ray_address == EMBEDDED
        token_file = config.ray_token_file or (str(state_dir / TOKEN_NAME) if embedded else "")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        if token_file:
            token = expanded(token_file).absolute()
            if embedded and not token.exists():
                token.touch(mode=0o600)
                token.write_text(secrets.token_hex(32))
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "the Ray engine needs Ray: pip install 'ugosa-server[ray]'; or use --engine local"
            ) from error
        self.ray = ray
        self._config = config
        # The embedded node's processes end with the thread that has started them, so it lives as long as we.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ray")

    async def call(self, work: Callable[[], R]) -> R:
        """Run a blocking call, not on the main thread, where Ray would take SIGTERM for itself."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def connect(self) -> dict[str, float]:
        """Connect, and return the resources that the cluster has now.

        Raises:
            ConfigError: there is no such cluster, or it does not take our token.
        """
        try:
            await self.call(self._connect)
            return await self.call(self.ray.cluster_resources)
        except (ConnectionError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            await self.disconnect()
            why = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"cannot use the Ray cluster {self._config.ray_address!r}; does it run, and is ray_token_file"
                f" its token? Ray says: {why}"
            ) from error

    def _connect(self) -> None:
        quiet: dict[str, Any] = {
            "namespace": NAMESPACE,
            "log_to_driver": False,
            "logging_level": logging.WARNING,
        }
        if self._config.ray_address == EMBEDDED:
            cpus = self._config.ray_workers * max(1, self._config.threads) or None
            self.ray.init(
                address="local",
                num_cpus=cpus,
                object_store_memory=EMBEDDED_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
        else:
            self.ray.init(address=self._config.ray_address, **quiet)

    def kill(self, actor: Any, may_restart: bool) -> None:
        """End an actor's process soon, without waiting: a cluster that is gone would hold up everything."""

        def kill() -> None:
            with contextlib.suppress(self.ray.exceptions.RayError, ValueError):
                self.ray.kill(actor, no_restart=not may_restart)

        self._thread.submit(kill)

    async def lives(self) -> bool:
        """Return whether this process's node is a living part of the cluster."""
        try:
            own_id = self.ray.get_runtime_context().get_node_id()
            nodes = await self.call(self.ray.nodes)
        except Exception:
            log.exception("the Ray cluster does not answer")
            return False
        return any(node["NodeID"] == own_id and node["Alive"] for node in nodes)

    async def disconnect(self) -> None:
        """Leave the cluster; an embedded one ends."""
        await self.call(self.ray.shutdown)
        if threading.current_thread() is threading.main_thread():
            # Ray has taken our handler away below Python, and a SIGTERM would end the server undrained.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

    async def close(self) -> None:
        """Disconnect for good."""
        await self.disconnect()
        self._thread.shutdown()


class RayEngine(WorkerEngine):
    """Runs one job on each actor at a time."""

    def __init__(
        self,
        config: ServerConfig,
        state_dir: Path,
        preload: str,
        session: RaySession,
        *,
        on_gpus: bool,
        workers: int,
    ) -> None:
        """Use `connect`."""
        super().__init__(config.ray_start_timeout_s)
        self._config = config
        self._state_dir = state_dir
        self._preload = preload
        self._session = session
        self._on_gpus = on_gpus
        self._was_ready = False
        self._probe = self._make_probe()
        prefix = secrets.token_hex(4)
        self._workers = [self._make_worker(f"worker-{number}-{prefix}") for number in range(workers)]
        self._keeper = keep_running(self._keep(), "engine")

    @classmethod
    async def connect(cls, config: ServerConfig, state_dir: Path, preload: str) -> RayEngine:
        """Connect to the cluster and begin to make workers.

        Args:
            config: the worker's settings and those whose names begin with `ray_`.
            state_dir: songs and stems lie there; workers that see it read and write them themselves.
            preload: checkpoint that is resident before the first job.

        Raises:
            ConfigError: Ray is not installed, there is no such cluster, or it has nothing to compute on.
        """
        session = RaySession(config, state_dir)
        resources = await session.connect()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        on_gpus = config.device.startswith("cuda") or (config.device == "auto" and gpus > 0)
        workers = config.ray_workers or (gpus if on_gpus else cpus // max(1, config.threads))
        if workers == 0:
            await session.close()
            kind = "GPU" if on_gpus else "CPU"
            raise ConfigError(
                f"the Ray cluster {config.ray_address!r} has no {kind}; set ray_workers if an autoscaler"
                " brings some"
            )
        kind = "GPUs" if on_gpus else "CPUs"
        log.info("Ray cluster %s: %d workers on %s", config.ray_address, workers, kind)
        return cls(config, state_dir, preload, session, on_gpus=on_gpus, workers=workers)

    @property
    def slots(self) -> int:
        """Number of workers: each has one run."""
        return len(self._workers)

    async def health(self) -> EngineHealth:
        """See Engine.health."""
        ready = [worker for worker in self._workers if worker.ready]
        self._was_ready = self._was_ready or bool(ready)
        memory = [worker.health.gpu_memory_bytes for worker in ready if worker.health]
        known = [size for size in memory if size is not None]
        return EngineHealth(
            ready=bool(ready),
            device=", ".join(sorted({worker.device for worker in ready})),
            detail=f"{len(ready)} of {len(self._workers)} workers on Ray",
            refusal="" if self._was_ready else self._refusal(),
            restarts=sum(worker.restarts for worker in self._workers),
            gpu_memory_bytes=sum(known) if known else None,
            workers=len(self._workers),
            workers_ready=len(ready),
        )

    async def close(self, grace_s: float) -> None:
        """See Engine.close. Actors are killed at once: what they hold is in memory only."""
        await end(self._keeper)
        await self._session.close()
        self._probe.unlink(missing_ok=True)

    def _refusal(self) -> str:
        """Return the refusal of all workers; empty while one of them may still start."""
        return self._workers[0].refusal if all(worker.refusal for worker in self._workers) else ""

    def _free_worker(self, spec: RunSpec | None) -> RayWorker | None:
        return preferred_worker(self._workers, spec.model_path if spec else "")

    async def _keep(self) -> None:
        """Keep the workers, and the connection that they need."""
        while True:
            keepers = [keep_running(worker.keep(), worker.name) for worker in self._workers]
            try:
                while await self._session.lives():
                    await asyncio.sleep(SESSION_CHECK_S)
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)
            log.error("the connection to the Ray cluster is lost; connecting again")
            await self._session.disconnect()
            while True:
                try:
                    await self._session.connect()
                    break
                except ConfigError as error:
                    log.error("%s; trying again in %.0f s", error.message, RECONNECT_DELAY_S)
                    await asyncio.sleep(RECONNECT_DELAY_S)

    def _make_worker(self, name: str) -> RayWorker:
        ray = self._session.ray
        config = self._config
        settings = settings_of_actor(config, on_gpus=self._on_gpus)
        files = NodeFolder(config.ray_files_dir, name, config.ray_files_bytes)
        actor_class = ray.remote(
            num_cpus=settings.threads,
            num_gpus=1 if self._on_gpus else 0,
            max_restarts=1,
            max_task_retries=0,
            concurrency_groups=CONCURRENCY_GROUPS,
        )(_with_groups(ray))
        return RayWorker(
            name,
            ActorCalls(
                make=lambda: actor_class.remote(settings, files, __version__),
                kill=self._session.kill,
                errors=(ray.exceptions.RayError,),
                sees_files=self._sees_files,
            ),
            self._preload,
            config.ray_start_timeout_s,
            config.heartbeat_timeout_s,
            self._changed.set,
        )

    def _make_probe(self) -> Path:
        """Write the file by which a worker is asked whether it sees the server's files."""
        probe = self._state_dir / f"ray-probe-{os.getpid()}"
        probe.write_text(secrets.token_hex(16))
        return probe

    async def _sees_files(self, actor: Any) -> bool:
        if (known := SHARES_FILES[self._config.ray_shared_files]) is not None:
            return known
        sees: bool = await actor.reads.remote(str(self._probe), self._probe.read_text())
        return sees


def preferred_worker(workers: Iterable[RayWorker], model_path: str) -> RayWorker | None:
    """Return a free worker, if possible one that has the model resident; None while all are busy."""
    free = [worker for worker in workers if worker.free]
    return min(free, key=lambda worker: model_path not in worker.models, default=None)


def _with_groups(ray: Any) -> type:
    """Return the actor's class with its methods in their concurrency groups."""
    methods = {
        name: ray.method(concurrency_group=group)(getattr(WorkerActor, name))
        for name, group in GROUP_OF_METHOD.items()
    }
    return type("UgosaWorker", (WorkerActor,), methods)
