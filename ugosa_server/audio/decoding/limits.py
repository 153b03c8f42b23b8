"""What a child process that reads bytes from strangers allows itself."""

from __future__ import annotations

import os
import resource

NICENESS = 10  # decoding must not make the server's answers late


def limit_this_process(address_space_bytes: int, cpu_s: int, niceness: int = NICENESS) -> None:
    """Give up the rest of memory, CPU time, core dumps and priority, before the first of those bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)
