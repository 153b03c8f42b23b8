"""Connection of the front process to a Ray cluster, in which it makes, asks and kills actors.

The server is a driver of the cluster: its machine has a Ray node (`ray start`), or `embedded` starts one that
lives and dies with the server. `ray` is an optional dependency, imported here only when the engine starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ugosa_server import __version__
from ugosa_server.config import ServerConfig, WorkerSettings
from ugosa_server.engines.ray.actor import CONCURRENCY_GROUPS, GROUP_OF_METHOD, WorkerActor
from ugosa_server.engines.ray.files import NodeFolder
from ugosa_server.errors import ConfigError
from ugosa_server.files import expanded

EMBEDDED = "embedded"
TOKEN_NAME = "ray-token"  # in the state directory
SHARES_FILES = {"auto": None, "yes": True, "no": False}  # None: each worker is asked
NAMESPACE = "ugosa"
EMBEDDED_STORE_BYTES = 200 * 1024**2  # of objects in memory: chunks and events only

R = TypeVar("R")
log = logging.getLogger(__name__)


class RaySession:
    """Connection of this process to a cluster; Ray's blocking calls run on a thread of their own."""

    def __init__(self, config: ServerConfig, state_dir: Path) -> None:
        """Prepare the environment, which Ray reads when it is imported.

        Args:
            config: the settings whose names begin with `ray_`.
            state_dir: an embedded cluster's own token is kept there, and songs and stems.

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
        self.errors: tuple[type[Exception], ...] = (ray.exceptions.RayError,)
        """Exceptions that a call of a lost actor raises."""
        self._config = config
        # By it a worker is asked whether it sees the server's files.
        self._probe = state_dir / f"ray-probe-{os.getpid()}"
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
            resources: dict[str, float] = await self.call(self.ray.cluster_resources)
        except (ConnectionError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            await self.disconnect()
            why = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"cannot use the Ray cluster {self._config.ray_address!r}; does it run, and is ray_token_file"
                f" its token? Ray says: {why}"
            ) from error
        if not self._probe.exists():  # a disk that has filled up must not end a later connection
            self._probe.write_text(secrets.token_hex(16))
        return resources

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

    def make_actor(self, name: str, settings: WorkerSettings) -> Any:
        """Return the handle of a new actor, which may still be waiting for a node.

        Args:
            name: of the worker's files on its node.
            settings: how the actor computes; on a GPU if their device is "cuda".
        """
        methods = {
            method: self.ray.method(concurrency_group=group)(getattr(WorkerActor, method))
            for method, group in GROUP_OF_METHOD.items()
        }
        actor_class = self.ray.remote(
            num_cpus=settings.threads,
            num_gpus=1 if settings.device == "cuda" else 0,
            max_restarts=1,
            max_task_retries=0,
            concurrency_groups=CONCURRENCY_GROUPS,
        )(type("UgosaWorker", (WorkerActor,), methods))
        files = NodeFolder(self._config.ray_files_dir, name, self._config.ray_files_bytes)
        return actor_class.remote(settings, files, __version__)

    async def sees_files(self, actor: Any) -> bool:
        """Return whether an actor reads and writes the server's own files."""
        if (known := SHARES_FILES[self._config.ray_shared_files]) is not None:
            return known
        sees: bool = await actor.reads.remote(str(self._probe), self._probe.read_text())
        return sees

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
        self._probe.unlink(missing_ok=True)
