"""Answers to too little memory, and a bound on that of a run on the CPU, which the system keeps.

The answers are smaller pieces, on the GPU and on the CPU, then the CPU if allowed. A phase that is done with
less does exactly what a job with these options would do, so the report's options still say how the stems came
about. On the CPU, the options are again those that were asked for. What the process asks for beyond a bound
is refused, and answered so too. Counted is what it has of its own (RLIMIT_DATA), not the code and tables that
it shares with others.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ugosa_server.adaptation import AdaptationOptions
from ugosa_server.errors import DeviceMemoryError, MemoryBudgetError
from ugosa_server.jobs import RunEvent, RunPhase
from ugosa_server.pipeline.allocator import (
    give_back_freed_memory,
    keep_freed_memory,
    trim_freed_memory,
)
from ugosa_server.pipeline.context import Result, RunContext
from ugosa_server.separation import SeparationOptions

MIN_SEGMENT_S = 1.0  # shorter ones would hardly save more, and hold too little music for the network
MIN_ROOM_BYTES = 64 * 1024**2  # less than that over what is held already helps no network
STATUS = Path("/proc/self/status")  # of Linux; elsewhere nothing is known beforehand

WAY_OUT = "give more with max_memory_bytes (--memory), or memory_bytes in the server's configuration"

# Libraries below torch ask for memory themselves and have errors of their own.
# "allocate memory" is what torch says on the CPU; a primitive is oneDNN's, a new thread wants a stack.
ALLOCATION_FAILURES = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    "allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
    "start new thread",
)


def within_memory(
    context: RunContext, phase: RunPhase, work: Callable[[RunContext], Generator[RunEvent, None, Result]]
) -> Generator[RunEvent, None, tuple[RunContext, Result]]:
    """Do the work of a phase; where memory is too little, again in smaller pieces or on the CPU.

    Returns:
        The context in which it was done, and its result.

    Raises:
        DeviceMemoryError: the GPU has too little, and there is nothing left to try.
        MemoryBudgetError: the job's budget is too little for the smallest pieces.
        MemoryError: this machine has too little; another try may find more.
    """
    while True:
        trim_freed_memory()  # pieces that the phase before has left are of other sizes than it will need
        try:
            result = yield from work(context)
            return context, result
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: the error holds on to every tensor of the frames that it went through.
        reason = memory_reason(context)
        context, message = _with_less(context, phase)
        yield context.journal.notice(reason, message)


def memory_reason(context: RunContext) -> str:
    """Return the reason of a notice that memory is too little."""
    return "GPU_MEMORY" if context.model.on_gpu else "CPU_MEMORY"


def too_little_memory(context: RunContext) -> str:
    """Return whose memory is too little, in words that go on with "for ..."."""
    if budget := context.memory_budget_bytes:
        return f"{budget / 1e6:.0f} MB of memory are too little"
    return f"{'the GPU' if context.model.on_gpu else 'this machine'}'s memory is too little"


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Return whether the error says that the device has too little memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        word in str(error) for word in ALLOCATION_FAILURES
    )


def smaller_adaptation(options: AdaptationOptions) -> AdaptationOptions | None:
    """Halve the batch, then the segment; None when neither can be halved."""
    if options.batch_size > 1:
        return replace(options, batch_size=options.batch_size // 2)
    segment_s = options.segment_s / 2
    if segment_s < MIN_SEGMENT_S:
        return None
    hop_s = None if options.hop_s is None else min(options.hop_s, segment_s)
    return replace(options, segment_s=segment_s, hop_s=hop_s)


def smaller_separation(options: SeparationOptions) -> SeparationOptions | None:
    """Halve the segment; None when it cannot be halved."""
    segment_s = options.segment_s / 2
    return None if segment_s < MIN_SEGMENT_S else replace(options, segment_s=segment_s)


def _with_less(context: RunContext, phase: RunPhase) -> tuple[RunContext, str]:
    """Return the context to try next, and a message for the user."""
    gc.collect()
    torch.cuda.empty_cache()
    options = context.spec.options
    too_little = f"{too_little_memory(context)} for {phase.value.replace('_', ' ')}"
    if phase is RunPhase.ADAPTATION:
        adaptation = smaller_adaptation(options.adaptation)
        if adaptation is not None:
            return (
                context.with_options(adaptation=adaptation),
                f"{too_little} in batches of {options.adaptation.batch_size} x"
                f" {options.adaptation.segment_s:g} s: going on with {adaptation.batch_size} x"
                f" {adaptation.segment_s:g} s",
            )
    else:
        separation = smaller_separation(options.separation)
        if separation is not None:
            return (
                context.with_options(separation=separation),
                f"{too_little} in segments of {options.separation.segment_s:g} s: going on with"
                f" {separation.segment_s:g} s",
            )
    if context.memory_budget_bytes:
        raise MemoryBudgetError(f"{too_little}, even in the smallest pieces; {WAY_OUT}")
    if not context.model.on_gpu:
        raise MemoryError(f"{too_little}, even in the smallest pieces")
    if not context.networks.settings.cpu_fallback:
        raise DeviceMemoryError(
            f"{too_little}, even in the smallest pieces; free some, or set cpu_fallback in the server's"
            " configuration"
        )
    context.model.move_to_cpu()
    asked = context.asked
    return (
        context.with_options(adaptation=asked.adaptation, separation=asked.separation),
        f"{too_little}, even in the smallest pieces: going on on the CPU, which takes longer",
    )


@contextmanager
def bounded_memory(budget_bytes: int) -> Iterator[None]:
    """Refuse what the process asks for beyond a budget for as long as the block lasts; 0 = all is given.

    Raises:
        MemoryBudgetError: the budget is too little, before the block or in the midst of it.
    """
    if not budget_bytes:
        yield
        return
    gc.collect()
    give_back_freed_memory()
    before, highest = resource.getrlimit(resource.RLIMIT_DATA)
    limit = budget_bytes if highest == resource.RLIM_INFINITY else min(budget_bytes, highest)
    try:
        held_bytes = own_bytes()
        if budget_bytes < held_bytes + MIN_ROOM_BYTES:
            raise MemoryBudgetError(
                f"the job may take {budget_bytes / 1e6:.0f} MB of memory, but {held_bytes / 1e6:.0f} MB are "
                f"held before it begins, and {MIN_ROOM_BYTES / 1e6:.0f} MB more are the least; {WAY_OUT}"
            )
        resource.setrlimit(resource.RLIMIT_DATA, (limit, highest))
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryBudgetError(
            f"{budget_bytes / 1e6:.0f} MB of memory are too little for this job; {WAY_OUT}"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, highest))
        keep_freed_memory()


def own_bytes() -> int:
    """Return the bytes of memory that count for the budget; 0 where the system does not say."""
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)
