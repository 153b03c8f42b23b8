"""Durable rows of uploads, jobs, arrays, events and tokens in SQLite."""

from ugosa_server.jobs.store.async_store import STORE_FILE_NAME, AsyncStore, Store
from ugosa_server.jobs.store.schema import copy_database, folders_of
from ugosa_server.jobs.store.statistics import PrincipalTotals

__all__ = ["STORE_FILE_NAME", "AsyncStore", "PrincipalTotals", "Store", "copy_database", "folders_of"]
