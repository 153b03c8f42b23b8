"""Removal of old songs and jobs, so that the disk does not fill up.

Swept are jobs that ended so many days ago, with their stems and reports, and uploads (finished or not) that
were made so many days ago and that no job has needed since. A job needs its upload until it has ended. What a
job has learned, its adapter, is small and stays for longer, and the job with it. What a user deletes goes at
once and never waits for a sweep.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ugosa_server.config import RetentionSettings
from ugosa_server.jobs.leftovers import S_PER_DAY, remove_long_lost
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.store import AsyncStore
from ugosa_server.jobs.uploads import Uploads

SWEEP_INTERVAL_S = 3600.0

log = logging.getLogger(__name__)


async def sweep(
    uploads: Uploads, jobs: JobQueue, settings: RetentionSettings, now_s: float
) -> tuple[int, int]:
    """Remove what has been kept long enough at `now_s` (Unix time); return how many uploads and jobs."""
    swept_jobs = 0
    if days := settings.keep_jobs_days:
        adapter_days = settings.keep_adapters_days
        adapters_before_s = now_s - adapter_days * S_PER_DAY if adapter_days else 0.0
        swept_jobs = await jobs.sweep_ended(now_s - days * S_PER_DAY, adapters_before_s)
    days = settings.keep_uploads_days
    swept_uploads = await uploads.delete_unused(now_s - days * S_PER_DAY) if days else 0
    if swept_uploads or swept_jobs:
        log.info("swept %d uploads and %d jobs that had been kept long enough", swept_uploads, swept_jobs)
    return swept_uploads, swept_jobs


async def believed_time_s(store: AsyncStore) -> float | None:
    """Return the Unix time, or None where the clock has jumped: see ClockTable.believe."""
    now_s = time.time()
    return now_s if await store(lambda s: s.clock.believe(now_s)) else None


async def keep_sweeping(uploads: Uploads, jobs: JobQueue, settings: RetentionSettings) -> None:
    """Sweep now and then every hour, until cancelled. A sweep that fails is logged and tried again.

    Nothing is swept by a clock that has jumped.
    """
    while True:
        try:
            if (now_s := await believed_time_s(uploads.store)) is not None:
                await sweep(uploads, jobs, settings, now_s)
                await asyncio.to_thread(remove_long_lost, uploads.spool, now_s)
            else:
                log.warning(
                    "the clock has jumped by more than a day; nothing is swept until it has proved right"
                )
        except Exception:
            log.exception("the sweep failed; it is tried again in %.0f s", SWEEP_INTERVAL_S)
        await asyncio.sleep(SWEEP_INTERVAL_S)
