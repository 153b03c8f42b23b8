"""Default engine: one resident worker process on this machine."""

from __future__ import annotations

import asyncio
import logging

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import EngineHealth, WorkerEngine
from ugosa_server.engines.process import WorkerProcess
from ugosa_server.jobs import RunSpec
from ugosa_server.supervision import end, keep_running

START_TIMEOUT_S = 180.0  # for imports and for making the model resident
RESPAWN_DELAY_S = 1.0  # doubled after each start that failed, up to RESPAWN_DELAY_MAX_S
RESPAWN_DELAY_MAX_S = 60.0

log = logging.getLogger(__name__)


class LocalEngine(WorkerEngine):
    """Keeps one worker process alive and runs one job at a time on it."""

    def __init__(self, settings: WorkerSettings, preload: str) -> None:
        """Begin to start the worker, whose checkpoint `preload` is resident before the first job."""
        super().__init__(START_TIMEOUT_S)
        self._settings = settings
        self._preload = preload
        self._worker: WorkerProcess | None = None
        self._was_ready = False
        self._refusal = ""
        self._restarts = 0
        self._keeper = keep_running(self._keep_worker(), "engine")

    @property
    def slots(self) -> int:
        """1: one run on one worker."""
        return 1

    async def health(self) -> EngineHealth:
        """See Engine.health."""
        worker = self._free_worker(None)
        if worker is None:
            return EngineHealth(
                ready=False,
                device="",
                detail=self._refusal or "the worker process is starting",
                refusal=self._refusal if not self._was_ready else "",
                restarts=self._restarts,
            )
        return EngineHealth(
            ready=True,
            device=worker.device,
            detail=f"worker process {worker.pid}",
            restarts=self._restarts,
            gpu_memory_bytes=worker.gpu_memory_bytes,
            workers_ready=1,
        )

    async def close(self, grace_s: float) -> None:
        """See Engine.close."""
        await end(self._keeper)
        if self._worker is not None:
            await self._worker.stop(grace_s)

    def _free_worker(self, spec: RunSpec | None) -> WorkerProcess | None:
        worker = self._worker
        if worker is None or worker.dead.is_set() or not worker.ready.is_set():
            return None
        return worker  # it is free: the scheduler gives one slot one run at a time

    async def _keep_worker(self) -> None:
        delay_s = RESPAWN_DELAY_S
        while True:
            self._worker = await self._spawn()
            if self._worker is not None and await self._became_ready(self._worker):
                delay_s = RESPAWN_DELAY_S
                self._was_ready, self._refusal = True, ""
                self._wake_waiting_runs()
                await self._worker.dead.wait()
            else:
                self._refusal = (self._worker and self._worker.refusal) or ""
                log.error("the worker did not start; trying again in %.0f s %s", delay_s, self._refusal)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESPAWN_DELAY_MAX_S)
            self._restarts += 1

    async def _spawn(self) -> WorkerProcess | None:
        """Start a worker; None where the system has no room for one now (memory, tasks, descriptors)."""
        try:
            return await WorkerProcess.spawn(self._settings, self._preload)
        except OSError as error:
            log.error("the system starts no worker process: %s", error)
            return None

    async def _became_ready(self, worker: WorkerProcess) -> bool:
        waits = [asyncio.create_task(worker.ready.wait()), asyncio.create_task(worker.dead.wait())]
        try:
            await asyncio.wait(waits, timeout=self._start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if worker.ready.is_set() and not worker.dead.is_set():
            return True
        await worker.stop(grace_s=1.0)
        return False
