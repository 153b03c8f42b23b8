"""A bound on the memory of a run on the CPU, which the system keeps.

What the process asks for beyond it is refused, and `memory_fallback` goes on in smaller pieces. Counted is
what the process has of its own (RLIMIT_DATA), not the code and tables that it shares with others.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ugosa_server.errors import MemoryBudgetError
from ugosa_server.pipeline.allocator import give_back_freed_memory, keep_freed_memory
from ugosa_server.pipeline.memory_fallback import WAY_OUT, is_out_of_memory

MIN_ROOM_BYTES = 64 * 1024**2  # less than that over what is held already helps no network
STATUS = Path("/proc/self/status")  # of Linux; elsewhere nothing is known beforehand


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
