"""The front process's parts, put together in one test process around a scripted engine."""

import contextlib
import io
import uuid
from dataclasses import replace

import numpy as np
import soundfile

from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.config import QuotaSettings, UploadSettings
from ugosa_server.jobs.events import EventHub
from ugosa_server.jobs.model import UploadFormat
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.quotas import Quotas
from ugosa_server.jobs.spool import Spool
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.uploads import ReceivedChunk, Uploads
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import ModelRegistry
from ugosa_server.scheduling import Scheduler

PRINCIPAL = "local"
ROOMY = QuotaSettings()


def wav_bytes(seconds=0.5, rate_hz=8000, channels=2, subtype="PCM_16", seed=0):
    """A WAV file of noise."""
    samples = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate_hz), channels))
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format="WAV", subtype=subtype)
    return stream.getvalue()


class Front:
    """Store, spool, uploads, jobs and scheduler on a state directory."""

    def __init__(
        self,
        state_dir,
        engine,
        *,
        max_queued=10,
        max_upload_bytes=2**24,
        quotas=ROOMY,
        idle_timeout_s=60.0,
    ):
        model_dir = state_dir / "models"
        model_dir.mkdir(exist_ok=True)
        if not (model_dir / "tiny.safetensors").exists():
            save_checkpoint(model_dir / "tiny.safetensors", tiny_network().state_dict(), TINY)
        self.registry = ModelRegistry([model_dir])
        self.store = AsyncStore(state_dir / "ugosa.sqlite")
        self.spool = Spool(state_dir, min_free_bytes=0)
        self.hub = EventHub()
        self.quotas = Quotas(replace(quotas, max_queued=max_queued))
        limits = UploadSettings(max_upload_bytes, upload_idle_timeout_s=idle_timeout_s)
        self.uploads = Uploads(self.store, self.spool, limits, self.quotas)
        self.jobs = JobQueue(self.store, self.spool, self.registry, self.hub, self.quotas, "tiny")
        self.engine = engine
        self.scheduler = Scheduler(self.jobs, engine, cancel_deadline_s=5)

    async def upload(self, data=None):
        """Upload a song and return it COMPLETE."""
        data = wav_bytes() if data is None else data
        upload = await self.uploads.create(PRINCIPAL, str(uuid.uuid4()), UploadFormat(file_name="a.wav"), 0)
        async with self.uploads.open(PRINCIPAL, upload.upload_id) as opened:
            await opened.write([ReceivedChunk(0, data, None)])
            return await opened.finish(len(data), "")

    async def events(self, job_id, after_seq=0):
        """All events of a job to its end."""
        return [event async for event in self.jobs.watch(PRINCIPAL, job_id, after_seq)]


@contextlib.asynccontextmanager
async def running_front(state_dir, *scripts, engine=None, **options):
    """A front whose scheduler runs, on an engine that plays scripts or on another; drained at the end."""
    from tests.helpers.scripted_engine import ScriptedEngine

    front = Front(state_dir, engine or ScriptedEngine(*scripts), **options)
    await front.scheduler.recover()
    front.scheduler.start()
    try:
        yield front
    finally:
        await front.scheduler.drain(grace_s=0)
        front.hub.close()
        front.store.close()
