"""Allocator of glibc: keeps freed memory for the next pass over a song, or gives it back under a budget.

By itself it gives the large blocks of a pass back at once, and the system fills new ones with zeros, page by
page: a fifth of the CPU of a separation. Another C library is left alone.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
KEPT_BLOCK_BYTES, KEPT_BYTES = 64 * 2**20, 256 * 2**20  # 60 MB less at the peak than with four times as much
GIVEN_BLOCK_BYTES = GIVEN_BYTES = 128 * 2**10  # glibc's own


def keep_freed_memory() -> None:
    """Keep what is freed for what comes next."""
    _set(KEPT_BLOCK_BYTES, KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Give back what is free, and from now on what gets free, as a bound on memory wants it."""
    _set(GIVEN_BLOCK_BYTES, GIVEN_BYTES)
    trim_freed_memory()


def trim_freed_memory() -> None:
    """Give back what is free now."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _set(block_bytes: int, kept_bytes: int) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(MMAP_THRESHOLD, block_bytes)
        mallopt(TRIM_THRESHOLD, kept_bytes)
