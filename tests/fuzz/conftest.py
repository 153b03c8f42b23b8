"""A limit on time and memory for every example, so that an endless loop or list is a failure."""

import functools
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLE_LIMIT_S = 30.0
EXAMPLE_LIMIT_BYTES = 2**30  # of address space, on top of what the process has


class EndlessError(BaseException):
    """An example took longer than EXAMPLE_LIMIT_S; no `except Exception` swallows it."""


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents and hasattr(item.obj, "hypothesis"):
            test = item.obj.hypothesis
            if not hasattr(test.inner_test, "is_limited"):
                test.inner_test = limited(test.inner_test)


def limited(example):
    @functools.wraps(example)
    def run(*args, **kwargs):
        with time_limit(EXAMPLE_LIMIT_S), memory_limit(EXAMPLE_LIMIT_BYTES):
            example(*args, **kwargs)

    run.is_limited = True
    return run


@contextmanager
def time_limit(limit_s):
    def stop(*_):
        raise EndlessError(f"the example took more than {limit_s:.0f} s")

    began_s = time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    outer_s, _ = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        left_s = max(0.001, outer_s - (time.monotonic() - began_s)) if outer_s else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left_s)  # the limit of the whole test goes on


@contextmanager
def memory_limit(more_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
