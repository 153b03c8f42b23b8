"""Ctrl-C while a job is watched: take what is learned so far, then cancel, then leave it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import UgosaClientError
from ugosa_client.events import JobEvent, JobPhase, Progress, StateChanged
from ugosa_client.resources import UNADAPTED, Job

AFTER_LEARNING = (JobPhase.SEPARATION, JobPhase.REPORT)
ANSWER_TIMEOUT_S = 10.0

Handler = Callable[[int, FrameType | None], object] | int | None
"""A handler of a signal as `signal.getsignal` returns it."""


class Interrupts:
    """Answers to Ctrl-C within a `with` block; where nothing is left to learn, the first cancels.

    The watch goes on meanwhile, and requests have threads of their own: an exception in the middle of gRPC's
    code can leave a lock behind, for which every later call waits. Only where there is nothing to ask for any
    more, Ctrl-C raises KeyboardInterrupt. Signals that are ignored stay so; SIGTERM can mean the same.
    """

    def __init__(
        self,
        client: UgosaClient,
        job: Job,
        reporter: Reporter,
        signals: Sequence[signal.Signals] = (signal.SIGINT,),
    ) -> None:
        self._client, self._job, self._reporter = client, job, reporter
        self._signals = signals
        self._can_accept, self._is_cancelled = may_learn(job), False
        self._has_ended = job.state.is_terminal
        self._progress: Progress | None = None
        self._asking: list[threading.Thread] = []
        self._before: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> Interrupts:
        for number in self._signals:
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:  # as in the background of a shell
                self._before[number] = before
                signal.signal(number, self._pressed)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        for thread in self._asking:  # what they say comes before the result
            thread.join(ANSWER_TIMEOUT_S)

    def happened(self, event: JobEvent) -> None:
        """Show an event of the job, and note what can be asked for."""
        if isinstance(event, Progress):
            self._progress = event
        self._has_ended = isinstance(event, StateChanged) and event.state.is_terminal
        self._reporter.happened(event)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        if self._is_cancelled or self._has_ended:
            raise KeyboardInterrupt
        is_learning = self._progress is None or self._progress.phase not in AFTER_LEARNING
        if self._can_accept and is_learning:
            self._can_accept = False
            text = f"{taken(self._progress)}; Ctrl-C again cancels job {self._job.job_id}"
            self._ask(self._client.accept, text)
        else:
            self._is_cancelled = True
            text = f"cancelling job {self._job.job_id}; Ctrl-C again leaves it to the server"
            self._ask(self._client.cancel, text)

    def _ask(self, request: Callable[[str], Job], text: str) -> None:
        def ask() -> None:
            self._reporter.say(text)
            try:
                request(self._job.job_id)
            except UgosaClientError as error:
                self._reporter.say(error.message)

        thread = threading.Thread(target=ask, daemon=True)
        self._asking.append(thread)
        thread.start()


def may_learn(job: Job) -> bool:
    """Return whether a job has something to learn from, as far as its options say."""
    return bool(job.marks) and job.options.strategy != UNADAPTED and job.options.epochs != 0


def taken(progress: Progress | None) -> str:
    """Describe what a job has learned when it is told that this is enough."""
    if progress is None or progress.phase is not JobPhase.ADAPTATION or progress.step == 0:
        return "nothing is learned yet, so the model is taken as it is"
    return f"taking what is learned so far, {progress.step} of {progress.steps} steps"
