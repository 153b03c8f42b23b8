"""Engine on a Ray cluster: resident workers on many GPUs and machines, as actors.

Actors die with their driver, the server. When the driver's own node is lost, the runs are lost with it and
everything is connected and made again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from pathlib import Path

from ugosa_server.config import ServerConfig, WorkerSettings
from ugosa_server.engines.ray.session import RaySession
from ugosa_server.engines.ray.worker import RayWorker
from ugosa_server.engines.worker import WorkerEngine
from ugosa_server.errors import ConfigError
from ugosa_server.supervision import end, keep_running

SESSION_CHECK_S = 2.0
RECONNECT_DELAY_S = 5.0

log = logging.getLogger(__name__)


def settings_of_actor(config: ServerConfig, *, on_gpus: bool) -> WorkerSettings:
    """Return the settings of an actor: a worker's, on the GPU or the CPU slots that Ray gives it."""
    return replace(config.worker, device="cuda" if on_gpus else "cpu", threads=max(1, config.threads))


class RayEngine(WorkerEngine):
    """Runs one job on each actor at a time."""

    def __init__(
        self, session: RaySession, settings: WorkerSettings, workers: int, preload: str, timeout_s: float
    ) -> None:
        """Use `connect`."""
        super().__init__(timeout_s)
        self._session = session
        prefix = secrets.token_hex(4)
        names = [f"worker-{number}-{prefix}" for number in range(workers)]
        wake = self._changed.set
        self.workers = [RayWorker(name, session, settings, preload, timeout_s, wake) for name in names]
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
        log.info("Ray cluster %s: workers on %s: %d", config.ray_address, kind, workers)
        settings = settings_of_actor(config, on_gpus=on_gpus)
        return cls(session, settings, workers, preload, config.ray_start_timeout_s)

    async def close(self) -> None:
        """See Engine.close."""
        await end(self._keeper)
        await self._session.close()

    async def _keep(self) -> None:
        """Keep the workers, and the connection that they need."""
        while True:
            keepers = [keep_running(worker.keep(), worker.name) for worker in self.workers]
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
