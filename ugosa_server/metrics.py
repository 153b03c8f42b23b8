"""Metrics for Prometheus, on a loopback port, with numbers and principals, but never names of songs.

Principals are at most `MAX_PRINCIPALS` labels, those who store most; all others are one more.

Everything is read when it is asked for: gauges from the store and the engine, durations from the events of
the jobs that have ended since the last time. A phase begins with its first progress event.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ugosa_server.addresses import TcpAddress, parse_address
from ugosa_server.engines import Engine, EngineHealth
from ugosa_server.errors import ConfigError, reason_of
from ugosa_server.jobs.store import PrincipalTotals, Store
from ugosa_server.jobs.uploads import Uploads

REQUEST_TIMEOUT_S = 10.0
MAX_REQUESTS = 8
MAX_REQUEST_BYTES = 16 * 1024
HTTP_HEAD = (
    f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\n"
    "Content-Length: {}\r\nConnection: close\r\n\r\n"
)
MAX_PRINCIPALS = 20
OTHERS = "(others)"  # which is no principal's name
PRINCIPAL_GAUGES = {
    "jobs": ("ugosa_principal_jobs", "Jobs kept, by principal."),
    "queued": ("ugosa_principal_queued_jobs", "Those of them that wait."),
    "stored_bytes": ("ugosa_principal_stored_bytes", "Songs and stems on disk, by principal."),
}
"""Name and meaning, by field of PrincipalTotals."""
DURATION_BUCKETS_S = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600, 7200, 14400)


class Families(list[Metric], Collector):
    """Metrics as they were read."""

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self


class Metrics:
    """Reads the metrics of a server."""

    def __init__(self, uploads: Uploads, engine: Engine) -> None:
        self._uploads = uploads
        self._engine = engine
        self._observed_until_s = time.time()
        self._waits = self._histogram("ugosa_job_wait_seconds", "From a job's creation to its first start.")
        self._runs = self._histogram("ugosa_job_seconds", "From first start to end, by end state.", "state")
        self._phases = self._histogram("ugosa_job_phase_seconds", "Of the last attempt, by phase.", "phase")

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=None, buckets=DURATION_BUCKETS_S)

    async def read(self) -> Families:
        """Read everything."""
        disk = await asyncio.to_thread(shutil.disk_usage, self._uploads.spool.state_dir)
        received = self._uploads.received_bytes
        families = Families(await self._uploads.store(self._read_store))
        families += _of_workers(await self._engine.health())
        families += (
            GaugeMetricFamily("ugosa_disk_free_bytes", "Free on the disk of the state directory.", disk.free),
            CounterMetricFamily("ugosa_received_bytes", "Bytes of songs received since the start.", received),
        )
        for histogram in (self._waits, self._runs, self._phases):
            families += histogram.collect()
        return families

    def _read_store(self, store: Store) -> list[Metric]:
        for job in store.totals.ended_after(self._observed_until_s):
            self._observed_until_s = job.end_time_s
            if job.wait_s is not None and job.run_s is not None:
                self._waits.observe(job.wait_s)
                self._runs.labels(job.state.value).observe(job.run_s)
            for phase, phase_s in store.totals.phases_s(job).items():
                self._phases.labels(phase).observe(phase_s)
        jobs = {state.value: count for state, count in store.totals.jobs().items()}
        stored = dict(zip(("uploads", "stems"), store.totals.stored_bytes(), strict=True))
        totals = bounded(store.totals.by_principal())
        return [
            _by("state", "ugosa_jobs", "Jobs kept, by state; the queue is `queued`.", jobs),
            _by("kind", "ugosa_stored_bytes", "Bytes on disk, by what they are.", stored),
            *(
                _by("principal", name, text, {one.principal: getattr(one, field) for one in totals})
                for field, (name, text) in PRINCIPAL_GAUGES.items()
            ),
        ]


def _of_workers(health: EngineHealth) -> Iterator[Metric]:
    yield GaugeMetricFamily("ugosa_worker_ready", "1 when a job would start now.", int(health.ready))
    yield GaugeMetricFamily("ugosa_workers", "Workers that the engine keeps.", health.workers)
    yield GaugeMetricFamily(
        "ugosa_workers_ready", "Workers that could run a job or are running one.", health.workers_ready
    )
    yield CounterMetricFamily("ugosa_worker_restarts", "Workers that were replaced.", health.restarts)
    if health.gpu_memory_bytes is not None:
        yield GaugeMetricFamily(
            "ugosa_gpu_memory_bytes", "Reserved by the worker on its GPU.", health.gpu_memory_bytes
        )


def bounded(totals: list[PrincipalTotals]) -> list[PrincipalTotals]:
    """Return the first `MAX_PRINCIPALS`, and the sum of all others if there are any."""
    shown, others = totals[:MAX_PRINCIPALS], totals[MAX_PRINCIPALS:]
    if others:
        sums = {field: sum(getattr(one, field) for one in others) for field in PRINCIPAL_GAUGES}
        shown.append(PrincipalTotals(OTHERS, **sums))
    return shown


def _by(label: str, name: str, text: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value_of, value in values.items():
        family.add_metric([value_of], value)
    return family


class MetricsServer:
    """Answers every HTTP request of a loopback port with the metrics; a few at a time, none for long."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._requests = 0
        self._server: asyncio.Server | None = None
        self.address = ""
        """HOST:PORT, with the real port; empty before `start`."""

    async def start(self, address: str) -> None:
        """Listen.

        Raises:
            ConfigError: the address is not loopback, or is taken.
        """
        parsed = parse_address(address)
        if not isinstance(parsed, TcpAddress) or not parsed.is_loopback:
            raise ConfigError(f"metrics cannot be served on {address!r}: use 127.0.0.1:PORT")
        try:
            self._server = await asyncio.start_server(
                self._answer, parsed.host, parsed.port, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            raise ConfigError(f"metrics cannot be served on {address!r}: {reason_of(error)}") from error
        port = self._server.sockets[0].getsockname()[1]
        self.address = replace(parsed, port=port).target

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._requests += 1
        try:
            if self._requests <= MAX_REQUESTS:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await reader.readuntil(b"\r\n\r\n")
                    text = await asyncio.to_thread(generate_latest, await self._metrics.read())
                    writer.write(HTTP_HEAD.format(len(text)).encode() + text)
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or speaks no HTTP
        finally:
            self._requests -= 1
            writer.close()
