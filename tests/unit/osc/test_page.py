"""The page for owners of controllers says what the server does, and its examples work."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ugosa_server.errors import NotFoundError
from ugosa_server.jobs import JobState
from ugosa_server.osc import JobSnapshot, OscService
from ugosa_server.osc.commands import COMMANDS
from ugosa_server.osc.snapshot import PROGRESS_ADDRESS

PAGE_DIR = Path(__file__).parents[3] / "clients" / "osc"
PAGE = (PAGE_DIR.parents[1] / "docs" / "osc.md").read_text(encoding="utf-8")
LOOPBACK = "127.0.0.1"
WAIT_S = 60.0
RUNNING = JobSnapshot("job-1", seq=3, state=JobState.RUNNING, fraction=0.5, eta_s=12.0, text="epoch 5 of 10")


class Jobs:
    """One job, which can be cancelled."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    def live_jobs(self) -> Sequence[JobSnapshot]:
        return [RUNNING]

    async def snapshot(self, job_id: str) -> JobSnapshot:
        if job_id != RUNNING.job_id:
            raise NotFoundError(f"there is no job {job_id!r}")
        return RUNNING

    async def accept(self, job_id: str) -> None:
        assert job_id == "job-1"

    async def cancel(self, job_id: str) -> None:
        await self.snapshot(job_id)
        self.cancelled.set()


def needs(*programs: str, package: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(programs)}: not installed (apt-get install {package})"
    )


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def table_rows(text: str) -> list[tuple[str, ...]]:
    """Address (of the row above where it is empty), types and arguments of every row that has types."""
    rows: list[tuple[str, ...]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 3 and re.fullmatch(r"(`,[a-z]+`\s?)+|none", cells[1]):
            rows.append((cells[0] or rows[-1][0], cells[1], cells[2]))
    return rows


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def test_page_lists_addresses_types_and_arguments() -> None:
    listed = {}
    for address, types, arguments in table_rows(PAGE):
        names = tuple(name.strip(" []").replace("job", "job_id") for name in arguments.split(",") if name)
        for tags in re.findall(r",[a-z]+", types) or [","]:
            listed[address.strip("`"), tags] = names[: len(tags) - 1]
    progress = listed.pop((PROGRESS_ADDRESS, ",sisffs"))
    assert progress == tuple(field.name for field in dataclasses.fields(JobSnapshot))
    assert listed == COMMANDS


@needs("oscdump", "oscsend", package="liblo-tools")
def test_shell_example_subscribes_shows_and_cancels() -> None:
    async def run() -> str:
        jobs, port = Jobs(), free_port()
        osc = OscService(jobs, (LOOPBACK, 0))
        await osc.start()
        assert osc.listen_address is not None
        example = blocks("sh")[1].replace("9001", str(port)).replace("9000", str(osc.listen_address[1]))
        dump_line, *send_lines = example.splitlines()
        dump = await asyncio.create_subprocess_exec(
            *shlex.split(dump_line.removesuffix(" &")), stdout=asyncio.subprocess.PIPE
        )
        assert dump.stdout is not None
        try:
            for line in send_lines:
                send = await asyncio.create_subprocess_exec(*shlex.split(line))
                assert await send.wait() == 0
            await asyncio.wait_for(jobs.cancelled.wait(), WAIT_S)
            return (await asyncio.wait_for(dump.stdout.readline(), WAIT_S)).decode()
        finally:
            await osc.close()
            dump.kill()
            await dump.wait()

    assert '/ugosa/v1/job/progress sisffs "job-1" 3 "RUNNING" 0.5' in asyncio.run(run())


@needs("pd", package="puredata-core")
def test_pd_patch_subscribes_and_shows_progress(tmp_path: Path) -> None:
    async def run() -> str:
        osc = OscService(Jobs(), (LOOPBACK, 0))
        await osc.start()
        assert osc.listen_address is not None
        patch = (PAGE_DIR / "ugosa.pd").read_text(encoding="utf-8")
        patch = patch.replace("9001", str(free_port())).replace("9000", str(osc.listen_address[1]))
        (tmp_path / "ugosa.pd").write_text(patch, encoding="utf-8")
        options = ["-nogui", "-noaudio", "-nomidi", "-nrt", "-noprefs", "-stderr"]
        pd = await asyncio.create_subprocess_exec(
            "pd", *options, str(tmp_path / "ugosa.pd"), stderr=asyncio.subprocess.PIPE
        )
        assert pd.stderr is not None
        said = ""
        try:
            async with asyncio.timeout(WAIT_S):
                while "ugosa:" not in said:
                    said += (await pd.stderr.readline()).decode()
        finally:
            await osc.close()
            with contextlib.suppress(ProcessLookupError):
                pd.kill()
            await pd.wait()
        return said

    said = asyncio.run(run())
    assert "ugosa: job-1 3 RUNNING 0.5 12" in said.replace("list ", "")
    assert "couldn't create" not in said


@needs("lua5.4", package="lua5.4")
def test_touchosc_script_shows_new_and_drops_old(tmp_path: Path) -> None:
    (script,) = blocks("lua")
    stub = """
local function control() return { values = {} } end
self = { children = { state = control(), bar = control(), text = control() } }
local function receive(seq, fraction)
  local args = {}
  for i, value in ipairs({ 'job-1', seq, 'RUNNING', fraction, 12.0, 'epoch 5' }) do
    args[i] = { value = value }
  end
  onReceiveOSC({ '/ugosa/v1/job/progress', args }, {})
end
receive(3, 0.5); receive(2, 0.25); onReceiveOSC({ '/other', {} }, {})
print(self.children.state.values.text, self.children.bar.values.x, self.children.text.values.text)
"""
    (tmp_path / "script.lua").write_text(script + stub, encoding="utf-8")
    done = subprocess.run(["lua5.4", tmp_path / "script.lua"], capture_output=True, text=True, timeout=30)
    assert done.stdout.split("\t") == ["RUNNING", "0.5", "epoch 5\n"], done.stderr
