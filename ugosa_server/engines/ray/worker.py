"""The front process's end of one Ray actor: its start, its runs, its death, its replacement."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import Wish, Worker, WorkerReady, WorkerRefused, WorkerRun, spends_worker
from ugosa_server.engines.ray.actor import ActorHealth
from ugosa_server.engines.ray.files import FileSender, fetch_file, fetch_results
from ugosa_server.engines.ray.session import RaySession
from ugosa_server.errors import CheckpointError, WorkerLostError
from ugosa_server.jobs import (
    RunBaseStems,
    RunCancelled,
    RunEnd,
    RunEvent,
    RunFailed,
    RunPreview,
    RunSpec,
    RunSucceeded,
)

HEALTH_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 2.0  # of an actor that Ray calls unavailable
RETRY_DELAY_S = 1.0  # doubled after each start that failed: a dead actor's GPU is free only after a while
RETRY_DELAY_MAX_S = 60.0

log = logging.getLogger(__name__)


class RayWorker(Worker):
    """Keeps one actor alive. `ready` is whether it could run a job or is running one."""

    def __init__(
        self,
        name: str,
        session: RaySession,
        settings: WorkerSettings,
        preload: str,
        start_timeout_s: float,
        changed: Callable[[], None],
    ) -> None:
        """Make no actor before `keep`.

        Args:
            name: for the log, and of its files on a node.
            session: makes and kills actors.
            settings: of the actors; one that does not answer for `heartbeat_timeout_s` is taken for hung.
            preload: checkpoint that is resident before the first job.
            start_timeout_s: time for a node to appear and for the model to become resident.
            changed: called when the worker has become ready or free.
        """
        self.name = name
        self._session = session
        self._settings = settings
        self._preload = preload
        self._start_timeout_s = start_timeout_s
        self._changed = changed
        self._actor: Any = None
        self._shares_files = True
        self._sender = FileSender()
        self._lost = asyncio.Event()
        self._loss = ("", False)
        self._calls_under_way: set[asyncio.Task[Any]] = set()
        self.ready = False
        self.device = ""
        self.refusal = ""
        self.restarts = 0
        self.health: ActorHealth | None = None
        self.models: set[str] = set()
        self.current: WorkerRun | None = None

    @property
    def free(self) -> bool:
        """Whether a run would start at once."""
        return self.ready and self.current is None and not self._lost.is_set()

    def run(self, spec: RunSpec) -> WorkerRun:
        """See Worker.run."""
        assert self.free
        self.current = WorkerRun(spec, self)
        self._in_background(self._follow(self._actor, self.current))
        return self.current

    def ask(self, spec: RunSpec, wish: Wish) -> None:
        """See Worker.ask."""
        self._in_background(self._ask(spec, wish))

    async def _ask(self, spec: RunSpec, wish: Wish) -> None:
        with contextlib.suppress(*self._session.errors):
            await self._actor.ask.remote(spec.job_id, spec.attempt, wish)

    async def end_overdue(self, run: WorkerRun, reason: str) -> None:
        """See Worker.end_overdue: the actor's process is killed."""
        self.lose(reason, kill=True)
        await run.ended.wait()

    def lose(self, reason: str, *, kill: bool) -> None:
        """Abandon the actor; its run, if any, is lost."""
        if not self._lost.is_set():
            self._loss = (reason, kill)
            self._lost.set()

    async def keep(self) -> None:
        """Make the actor, and again whenever it is lost, until cancelled; then it is killed."""
        delay_s = RETRY_DELAY_S
        try:
            while True:
                if self._actor is None:
                    self._actor = self._session.make_actor(self.name, self._settings)
                if await self._prepare():
                    delay_s = RETRY_DELAY_S
                    await self._watch()
                    self.restarts += 1
                else:
                    self._drop_actor()
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, RETRY_DELAY_MAX_S)
        finally:
            self._become_unready("was closed")
            for call in self._calls_under_way:
                call.cancel()
            self._drop_actor()

    async def _prepare(self) -> bool:
        """Wait until the actor is there with its model, also when Ray is just starting it again."""
        self._lost.clear()
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while True:
                    try:
                        return await self._prepare_once()
                    except self._session.errors as error:
                        if type(error).__name__ != "ActorUnavailableError":
                            raise
                        await asyncio.sleep(0.2)
        except TimeoutError:
            log.error("%s did not start within %.0f s", self.name, self._start_timeout_s)
        except (WorkerLostError, OSError) as error:
            log.error("%s did not start: %s", self.name, error)
        except self._session.errors as error:
            log.warning("%s is gone: %s", self.name, str(error).splitlines()[0])
        return False

    async def _prepare_once(self) -> bool:
        actor = self._actor
        self._shares_files = await self._session.sees_files(actor)
        model = self._preload
        if not self._shares_files:
            model = await self._sender.send(actor, self._preload)
        match await actor.prepare.remote(model):
            case WorkerReady(device):
                self.health = await actor.health.remote()
                self.device, self.refusal, self.ready = device, "", True
                self.models = {self._preload}
                log.info(
                    "%s ready on %s%s", self.name, device, "" if self._shares_files else ", by file transfer"
                )
                self._changed()
                return True
            case WorkerRefused(message):
                self.refusal = message
                log.error("%s cannot start: %s", self.name, message)
        return False

    async def _watch(self) -> None:
        """Poll the actor's health; when it is lost, kill it and fail its run."""
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), HEALTH_INTERVAL_S)
                break
            await self._beat()
        reason, kill = self._loss
        log.warning("%s %s", self.name, reason)
        incarnation = self.health.incarnation if self.health else ""
        if kill or await self._still_lives(incarnation):
            # Its run must write nothing more: another attempt may begin at once.
            self._session.kill(self._actor, True)
        self._become_unready(reason)

    async def _beat(self) -> None:
        timeout_s = self._settings.heartbeat_timeout_s
        try:
            self.health = await asyncio.wait_for(self._ask_health(), timeout_s)
        except TimeoutError:
            self.lose(f"did not answer for {timeout_s:.0f} s", kill=True)
        except self._session.errors:
            self.lose("died", kill=False)

    async def _still_lives(self, incarnation: str) -> bool:
        """Return whether the lost process answers: Ray also loses actors whose connection is gone."""
        try:
            health = await asyncio.wait_for(self._ask_health(), PROBE_TIMEOUT_S)
        except TimeoutError:
            return True
        except self._session.errors:
            return False
        return health.incarnation == incarnation

    async def _ask_health(self) -> ActorHealth:
        health: ActorHealth = await self._actor.health.remote()
        return health

    async def _follow(self, actor: Any, run: WorkerRun) -> None:
        """Pass on the events of a run; its success once all its files are here."""
        spec: RunSpec | None = run.spec
        sent = not self._shares_files
        try:
            if sent and (spec := await self._send(actor, run)) is None:
                self._release(run, RunCancelled())
                return
            async for reference in actor.run.remote(spec, sent=sent):
                event = await reference
                if sent and isinstance(event, RunSucceeded):
                    await fetch_results(actor, run.spec)
                if sent and isinstance(event, RunBaseStems | RunPreview):
                    try:
                        for stem in event.stems:
                            await fetch_file(actor, run.spec, stem)
                    except WorkerLostError:
                        if isinstance(event, RunPreview):
                            continue  # a newer one has taken its place on the way: that one comes too
                        raise
                if isinstance(event, RunFailed) and spends_worker(event, self.device):
                    self.lose(f"failed job {run.spec.job_id}: {event.message}", kill=True)
                self._release(run, event)
            self._lose_run(run, "stopped without a result", kill=True)
        except CheckpointError as error:
            self._release(run, RunFailed(error.reason, error.message))
        except self._session.errors as error:
            self._lose_run(run, f"died: {str(error).splitlines()[0]}", kill=False)
        except (WorkerLostError, OSError) as error:
            self._lose_run(run, str(error), kill=True)
        except Exception:  # whatever it is, a run that nobody follows must not look alive
            log.exception("%s: job %s cannot be followed", self.name, run.spec.job_id)
            self._lose_run(run, "could not be followed", kill=True)

    async def _send(self, actor: Any, run: WorkerRun) -> RunSpec | None:
        """Send the inputs of a run to the node; return None if it is cancelled meanwhile."""
        sending = asyncio.create_task(self._sender.send_run(actor, run.spec))
        cancelled = asyncio.create_task(run.cancel_requested.wait())
        try:
            await asyncio.wait({sending, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            return sending.result() if sending.done() else None
        finally:
            sending.cancel()
            cancelled.cancel()

    def _lose_run(self, run: WorkerRun, reason: str, *, kill: bool) -> None:
        """Abandon the actor if the run is still its own; an actor made since then is left alone."""
        if self.current is run:
            self.lose(f"{reason} (job {run.spec.job_id})", kill=kill)

    def _release(self, run: WorkerRun, event: RunEvent) -> None:
        if isinstance(event, RunEnd) and self.current is run:
            if not isinstance(event, RunFailed):
                self.models.add(run.spec.model_path)
            self.current = None
            self._changed()
        run.put(event)

    def _become_unready(self, reason: str) -> None:
        self.ready = False
        self.models.clear()
        run, self.current = self.current, None
        if run is not None:
            run.put(WorkerLostError(f"the worker {self.name} {reason}"))

    def _drop_actor(self) -> None:
        if self._actor is not None:
            self._session.kill(self._actor, False)
            self._actor = None

    def _in_background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._calls_under_way.add(task)
        task.add_done_callback(self._calls_under_way.discard)
