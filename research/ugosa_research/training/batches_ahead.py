"""The next step's batch is made while the network learns from this one.

Batches are arithmetic of numpy and reading of files, a fifth of a step's time on a CPU, and need not wait for
the network: both leave Python's lock alone for most of it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from ugosa_research.training.augment import Batch


class BatchesAhead:
    """A function of the step, as `batch_of` is; a context manager, which ends its thread."""

    def __init__(self, batch_of: Callable[[int], Batch], steps: int) -> None:
        self._batch_of = batch_of
        self._steps = steps
        self._executor = ThreadPoolExecutor(1)
        self._made: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """The batch of this step; raises what making it raised."""
        batch = self._made.pop(step, None) or self._executor.submit(self._batch_of, step)
        if step + 1 < self._steps:
            self._made = {step + 1: self._executor.submit(self._batch_of, step + 1)}
        return batch.result()

    def __enter__(self) -> BatchesAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)
