"""The worker process: keeps networks resident on one device and runs jobs, one at a time.

Started as `python -m ugosa_server.pipeline` by `engines/local.py`; commands come in on stdin, messages go
out on what was stdout (`engines/base.py`). When stdin closes, the front process is gone and
the worker ends at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import (
    AskRun,
    Heartbeat,
    Message,
    RunKey,
    Wish,
    WorkerReady,
    WorkerRefused,
    decode_line,
    encode_line,
    spends_worker,
)
from ugosa_server.errors import UgosaError
from ugosa_server.jobs import RunFailed, RunSpec
from ugosa_server.log import start_logging

if TYPE_CHECKING:
    from ugosa_server.pipeline.resident import ResidentNetworks

HEARTBEAT_INTERVAL_S = 1.0

log = logging.getLogger("ugosa_server.pipeline")  # whose __name__ here is "__main__"


class Channel:
    """The pipe to the front process; messages of several threads do not mix."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message, run: RunKey | None = None) -> None:
        """Write one message. A front process that is gone ends the worker."""
        try:
            with self._lock:
                self._stream.write(encode_line(message, run))
                self._stream.flush()
        except BrokenPipeError:
            os._exit(0)


class Inbox:
    """Reads commands on a thread of its own, so that they arrive while a run computes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._runs: queue.Queue[RunSpec] = queue.Queue()
        self._wishes: set[AskRun] = set()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            match decode_line(line)[0]:
                case RunSpec() as spec:
                    self._runs.put(spec)
                case AskRun() as wish:
                    self._wishes.add(wish)
                case other:
                    log.error("not a command: %r", other)
        os._exit(0)

    def next_run(self) -> RunSpec:
        """Wait for the next run."""
        return self._runs.get()

    def wishes(self, spec: RunSpec, wish: Wish) -> bool:
        """Return whether this run was asked for it."""
        return AskRun(spec.job_id, spec.attempt, wish) in self._wishes


def beat(channel: Channel, gpu_memory_bytes: Callable[[], int | None]) -> None:
    """Send heartbeats for ever."""
    while True:
        with suppress(MemoryError):  # of a job that has its budget: the next one may come through
            channel.send(Heartbeat(gpu_memory_bytes()))
        time.sleep(HEARTBEAT_INTERVAL_S)


def serve(networks: ResidentNetworks, channel: Channel, inbox: Inbox) -> None:
    """Run jobs for ever. An unexpected error fails its job; on a GPU it also ends the worker.

    After a CUDA fault nothing in the process can be trusted, so the next job gets a fresh one; so it does
    where memory or descriptors ran out, of which this process may hold too many.
    """
    from ugosa_server.pipeline.run import run_job

    while True:
        spec = inbox.next_run()
        run = (spec.job_id, spec.attempt)
        log.info("job %s attempt %d: start", *run)
        for event in run_job(spec, networks, partial(inbox.wishes, spec)):
            channel.send(event, run)
            if isinstance(event, RunFailed) and spends_worker(event, networks.device.type):
                os._exit(1)
        log.info("job %s attempt %d: end", *run)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return `settings` and `preload` of a command line; None = this process's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--settings",
        type=partial(msgspec.json.decode, type=WorkerSettings),
        required=True,
        metavar="JSON",
        help="WorkerSettings of config.py",
    )
    parser.add_argument("--preload", required=True, help="checkpoint to make resident before the first job")
    return parser.parse_args(arguments)


def main() -> None:
    """Entry point of the process."""
    arguments = parse_arguments()
    start_logging(arguments.settings.log_level, arguments.settings.log_format)
    messages_out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the messages
    channel = Channel(messages_out)
    inbox = Inbox(sys.stdin.buffer)
    loaded: list[ResidentNetworks] = []
    threading.Thread(
        target=beat,
        args=(channel, lambda: loaded[0].gpu_memory_bytes if loaded else None),
        name="heartbeat",
        daemon=True,
    ).start()
    try:
        # Imported only now: torch takes seconds to load, and the front process gets heartbeats meanwhile.
        from ugosa_server.pipeline.resident import open_networks

        networks = open_networks(arguments.settings)
        networks.load(arguments.preload)
        loaded.append(networks)
        channel.send(WorkerReady(networks.device_name))
        serve(networks, channel, inbox)
    except UgosaError as error:  # a device or a model that is not there: no later start would find it
        channel.send(WorkerRefused(error.message))
        os._exit(1)
    except Exception:
        log.exception("the worker cannot go on")
        os._exit(1)  # not sys.exit: the inbox thread is blocked in a read that nothing can interrupt


if __name__ == "__main__":
    main()
