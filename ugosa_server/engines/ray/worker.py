"""The front process's end of one Ray actor: its start, its runs, its death, its replacement."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import Wish, WorkerReady, WorkerRefused
from ugosa_server.engines.ray.actor import ActorHealth
from ugosa_server.engines.ray.files import FileSender, fetch_file, fetch_results
from ugosa_server.engines.ray.session import RaySession
from ugosa_server.engines.worker import Worker, WorkerRun
from ugosa_server.errors import CheckpointError, WorkerLostError
from ugosa_server.jobs import (
    RunBaseStems,
    RunCancelled,
    RunFailed,
    RunPreview,
    RunSpec,
    RunSucceeded,
)

HEALTH_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 2.0  # of an actor that Ray calls unavailable

log = logging.getLogger(__name__)


class RayWorker(Worker):
    """An actor, kept alive."""

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
            name: for messages, and of its files on a node.
            session: makes and kills actors.
            settings: of the actors; one that does not answer for `heartbeat_timeout_s` is taken for hung.
            preload: checkpoint that is resident before the first job.
            start_timeout_s: time for a node to appear and for the model to become resident.
            changed: see Worker.
        """
        super().__init__(name, start_timeout_s, changed)
        self._session = session
        self._settings = settings
        self._preload = preload
        self._actor: Any = None
        self._shares_files = True
        self._sender = FileSender()
        self._loss: asyncio.Future[tuple[str, bool]] | None = None
        """Reason why the actor is lost, and whether it is to be killed."""
        self._incarnation = ""
        self._calls_under_way: set[asyncio.Task[Any]] = set()

    def _begin(self, run: WorkerRun) -> None:
        self._in_background(self._follow(self._actor, run))

    def ask(self, spec: RunSpec, wish: Wish) -> None:
        """See Worker.ask."""
        self._in_background(self._ask(spec, wish))

    async def _ask(self, spec: RunSpec, wish: Wish) -> None:
        with contextlib.suppress(*self._session.errors):
            await self._actor.ask.remote(spec.job_id, spec.attempt, wish)

    def end(self, reason: str) -> None:
        """See Worker.end: the actor's process is killed."""
        self._lose(reason, kill=True)

    def _lose(self, reason: str, *, kill: bool) -> None:
        """Abandon the actor."""
        if self._loss is not None and not self._loss.done():
            self.ready = False
            self._loss.set_result((reason, kill))

    async def keep(self) -> None:
        """See Worker.keep; in the end the actor is killed."""
        try:
            await super().keep()
        finally:
            for call in self._calls_under_way:
                call.cancel()
            self._drop_actor()

    async def _start(self) -> WorkerReady | WorkerRefused | None:
        if self._actor is None:
            self._actor = self._session.make_actor(self.name, self._settings)
        answer = await self._prepare()
        if not isinstance(answer, WorkerReady):
            self._drop_actor()
        return answer

    async def _prepare(self) -> WorkerReady | WorkerRefused | None:
        """Wait until the actor is there with its model, also when Ray is just starting it again."""
        self._loss = asyncio.get_running_loop().create_future()
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
        return None

    async def _prepare_once(self) -> WorkerReady | WorkerRefused:
        actor = self._actor
        self._shares_files = await self._session.sees_files(actor)
        model = self._preload
        if not self._shares_files:
            log.info("files are sent to %s and fetched from it", self.name)
            model = await self._sender.send(actor, self._preload)
        answer: WorkerReady | WorkerRefused = await actor.prepare.remote(model)
        if isinstance(answer, WorkerReady):
            self.models = {self._preload}
            self._incarnation = (await self._ask_health()).incarnation
        return answer

    async def _live(self) -> str:
        """Poll the actor's health; when it is lost, kill it."""
        assert self._loss is not None
        while not (await asyncio.wait({self._loss}, timeout=HEALTH_INTERVAL_S))[0]:
            await self._beat()
        reason, kill = self._loss.result()
        log.warning("%s %s", self.name, reason)
        if kill or await self._still_lives():
            # Its run must write nothing more: another attempt may begin at once.
            self._session.kill(self._actor, True)
        return reason

    async def _beat(self) -> None:
        timeout_s = self._settings.heartbeat_timeout_s
        try:
            await asyncio.wait_for(self._ask_health(), timeout_s)
        except TimeoutError:
            self._lose(f"did not answer for {timeout_s:.0f} s", kill=True)
        except self._session.errors:
            self._lose("died", kill=False)

    async def _still_lives(self) -> bool:
        """Return whether the lost process answers: Ray also loses actors whose connection is gone."""
        try:
            health = await asyncio.wait_for(self._ask_health(), PROBE_TIMEOUT_S)
        except TimeoutError:
            return True
        except self._session.errors:
            return False
        return health.incarnation == self._incarnation

    async def _ask_health(self) -> ActorHealth:
        health: ActorHealth = await self._actor.health.remote()
        self.gpu_memory_bytes = health.gpu_memory_bytes
        return health

    async def _follow(self, actor: Any, run: WorkerRun) -> None:
        """Pass on the events of a run; its success once all its files are here."""
        spec: RunSpec | None = run.spec
        sent = not self._shares_files
        try:
            if sent and (spec := await self._send(actor, run)) is None:
                self._take(run, RunCancelled())
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
                self._take(run, event)
            self._lose_run(run, "stopped without a result", kill=True)
        except CheckpointError as error:
            self._take(run, RunFailed(error.reason, error.message))
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
            self._lose(f"{reason} (job {run.spec.job_id})", kill=kill)

    def _drop_actor(self) -> None:
        if self._actor is not None:
            self._session.kill(self._actor, False)
            self._actor = None

    def _in_background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._calls_under_way.add(task)
        task.add_done_callback(self._calls_under_way.discard)
