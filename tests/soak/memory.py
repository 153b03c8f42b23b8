"""Memory of the processes of a server, over time."""

from __future__ import annotations

import statistics

import psutil

FRONT_LIMIT_MB = 300.0  # the README's promise
GROWTH_LIMIT_MB = 50.0  # of the front process's median, from the first third to the end: a leak stays
SLICES = 6


class MemoryLog:
    """Looks at resident sets whenever it is told to."""

    def __init__(self, server):
        self._server = server
        self._front_mb = []
        self._worker_mb = []

    def look(self):
        """Note what is resident now; processes that are just being replaced are passed over."""
        try:
            self._front_mb.append(psutil.Process(self._server.process.pid).memory_info().rss / 1e6)
            self._worker_mb.append(self._server.worker().memory_info().rss / 1e6)
        except (psutil.NoSuchProcess, ValueError):
            pass

    def table(self):
        """Largest resident sets in as many slices of time."""
        lines = ["memory over time (MB)" + "".join(f"{n}/{SLICES}".rjust(8) for n in range(1, SLICES + 1))]
        for name, values in (("front process", self._front_mb), ("worker", self._worker_mb)):
            lines.append(f"  {name:19}" + "".join(f"{max(piece):8.0f}" for piece in slices(values)))
        return "\n".join(lines)

    def problems(self):
        """Describe where the front process took too much memory."""
        problems = []
        if max(self._front_mb, default=0) > FRONT_LIMIT_MB:
            problems.append(
                f"the front process took {max(self._front_mb):.0f} MB, limit {FRONT_LIMIT_MB:.0f}"
            )
        pieces = list(slices(self._front_mb))
        growth_mb = statistics.median(pieces[-1]) - statistics.median(pieces[len(pieces) // 3])
        if growth_mb > GROWTH_LIMIT_MB:
            problems.append(f"the front process grew by {growth_mb:.0f} MB, limit {GROWTH_LIMIT_MB:.0f}")
        return problems


def slices(values):
    """The values in SLICES pieces of about the same length, none empty."""
    pieces = min(SLICES, len(values))
    for number in range(pieces):
        yield values[number * len(values) // pieces : (number + 1) * len(values) // pieces]
