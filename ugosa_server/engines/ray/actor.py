"""Actor that Ray runs on a GPU or on CPU slots: networks stay resident, one job runs at a time.

`run` has the actor's only compute thread. Control calls and files have concurrency groups of their own, so
that a cancel and a health check are answered while a job trains. Nothing here imports torch before `prepare`,
so that the front process can load this file.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ugosa_server import __version__
from ugosa_server.config import WorkerSettings
from ugosa_server.engines.base import RunKey, Wish, WorkerReady, WorkerRefused
from ugosa_server.engines.ray.files import NodeFiles, NodeFolder
from ugosa_server.errors import UgosaError
from ugosa_server.jobs import RunEvent, RunSpec
from ugosa_server.log import start_logging

if TYPE_CHECKING:
    from ugosa_server.pipeline.resident import ResidentNetworks

CONTROL = "control"
FILES = "files"
PIPELINE = "ugosa_server.pipeline"  # imported by its name, inside the actor only: it loads torch
CONCURRENCY_GROUPS = {CONTROL: 2, FILES: 4}
GROUP_OF_METHOD = {
    "health": CONTROL,
    "ask": CONTROL,
    "reads": FILES,
    "received_bytes": FILES,
    "receive": FILES,
    "results": FILES,
    "read_result": FILES,
    "delete_run": FILES,
}


@dataclass(frozen=True)
class ActorHealth:
    """State of an actor at one moment."""

    incarnation: str
    """Id of the process; another one after each restart."""
    gpu_memory_bytes: int | None
    """Reserved on its GPU; None without one."""


class WorkerActor(NodeFiles):
    """Runs jobs in a process of Ray, and keeps their files; all but `__init__` is called through Ray."""

    def __init__(self, settings: WorkerSettings, files: NodeFolder, server_version: str) -> None:
        """Make the folders for files; everything else waits for `prepare`.

        Args:
            settings: how it computes; of GPUs it sees only the one that Ray has given it.
            files: where songs and models that are sent are kept on the node.
            server_version: of the server that makes the actor.
        """
        super().__init__(files)
        self.settings = settings
        self.networks: ResidentNetworks | None = None
        self._server_version = server_version
        self._incarnation = uuid.uuid4().hex
        self._wishes: dict[RunKey, set[Wish]] = defaultdict(set)
        start_logging(settings.log_level, settings.log_format)

    def prepare(self, model: str) -> WorkerReady | WorkerRefused:
        """Load torch and a checkpoint (a path, or a sha256 that was sent)."""
        if self._server_version != __version__:
            return WorkerRefused(
                f"the server is ugosa-server {self._server_version}, but a node of the Ray cluster"
                f" has {__version__}; install the same version everywhere"
            )
        try:
            if self.networks is None:
                self.networks = import_module(f"{PIPELINE}.resident").open_networks(self.settings)
            networks = self.networks
            networks.load(self._path(model))
            return WorkerReady(networks.device_name)
        except UgosaError as error:
            return WorkerRefused(error.message)

    def run(self, spec: RunSpec, *, sent: bool) -> Iterator[RunEvent]:
        """Run an attempt of a job; `sent` = its paths are sha256 digests, and it writes on this node."""
        assert self.networks is not None
        if sent:
            spec = replace(
                spec,
                source=replace(spec.source, path=self._path(spec.source.path)),
                model_path=self._path(spec.model_path),
                video_path=self._path(spec.video_path),
                start_path=self._path(spec.start_path),
                out_dir=str(self.make_run(spec.job_id, spec.attempt)),
            )
        key = (spec.job_id, spec.attempt)
        try:
            run_job = import_module(f"{PIPELINE}.run").run_job
            for event in run_job(spec, self.networks, self._wishes[key].__contains__):  # noqa: UP028
                yield event
        finally:
            del self._wishes[key]

    def ask(self, job_id: str, attempt: int, wish: Wish) -> None:
        """Ask something of a run."""
        self._wishes[job_id, attempt].add(wish)

    def health(self) -> ActorHealth:
        """Return the state of the actor."""
        networks = self.networks
        return ActorHealth(self._incarnation, networks.gpu_memory_bytes if networks else None)

    def reads(self, path: str, content: str) -> bool:
        """Return whether this node sees the same file at that path as the server."""
        try:
            return Path(path).read_text() == content
        except OSError:
            return False

    def _path(self, path_or_sha256: str) -> str:
        is_digest = path_or_sha256 and "/" not in path_or_sha256
        return str(self.path_of(path_or_sha256)) if is_digest else path_or_sha256
