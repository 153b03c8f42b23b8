"""Durable rows of uploads, jobs, arrays, events and tokens in SQLite."""

from ugosa_server.jobs.store.async_store import STORE_FILE_NAME, AsyncStore, Store

__all__ = ["STORE_FILE_NAME", "AsyncStore", "Store"]
