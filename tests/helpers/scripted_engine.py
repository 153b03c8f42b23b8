"""An engine that does what a test tells it: finishes, fails, loses its worker, waits."""

import asyncio
import hashlib
from pathlib import Path

from ugosa_server.engines import Engine, EngineHealth, Run
from ugosa_server.jobs.runs import RunCancelled, RunPhase, RunProgress, RunSucceeded, StemFile


def progress(step, steps=4):
    return RunProgress(RunPhase.ADAPTATION, step / steps, 1.0, step, steps, 1, 1)


def succeed(spec):
    """Write small files as a real run would, and return its last event."""
    stems = []
    for index, source in enumerate(("drums", "bass", "other", "vocals")):
        path = Path(spec.out_dir) / f"stem-{index}.wav"
        path.write_bytes(f"{spec.job_id} {source}".encode() * 1000)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stems.append(StemFile(source, path.name, spec.source.frames, path.stat().st_size, digest))
    (Path(spec.out_dir) / "report.json").write_text('{"schema_version": 1}')
    (Path(spec.out_dir) / "report.html").write_text("<!doctype html>")
    return RunSucceeded(tuple(stems), "report.json", "report.html")


class Gate:
    """In a script: the run waits here until `open` (or until it is cancelled). As a script: its start."""

    def __init__(self):
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self):
        self._opened.set()

    async def passed(self):
        self.reached.set()
        await self._opened.wait()


class ScriptedRun(Run):
    def __init__(self, spec, script):
        self.spec = spec
        self._script = script
        self._cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancel_calls = 0
        self.accepted = asyncio.Event()

    async def events(self):
        try:
            for item in self._script:
                if isinstance(item, Gate):
                    waits = [
                        asyncio.ensure_future(item.passed()),
                        asyncio.ensure_future(self._cancelled.wait()),
                    ]
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    for wait in waits:
                        wait.cancel()
                if self._cancelled.is_set():
                    yield RunCancelled()
                    return
                if isinstance(item, Exception):
                    raise item
                if callable(item):
                    yield item(self.spec)
                elif not isinstance(item, Gate):
                    yield item
        finally:
            self.ended.set()

    def accept(self):
        self.accepted.set()

    async def cancel(self, deadline_s):
        self.cancel_calls += 1
        self._cancelled.set()
        await self.ended.wait()


class ScriptedEngine(Engine):
    """Plays one script a run, in the order the runs come; the default script succeeds."""

    def __init__(self, *scripts):
        self._scripts = list(scripts)
        self.runs = []
        self.ready = asyncio.Event()
        self.ready.set()

    @property
    def slots(self):
        return 1

    async def wait_ready(self):
        await self.ready.wait()

    async def start(self, spec):
        script = self._scripts.pop(0) if self._scripts else [progress(1), succeed]
        if isinstance(script, Exception):
            raise script
        if isinstance(script, Gate):
            await script.passed()
            script = [progress(1), succeed]
        run = ScriptedRun(spec, script)
        self.runs.append(run)
        return run

    async def health(self):
        return EngineHealth(workers_ready=1)

    async def close(self):
        pass
