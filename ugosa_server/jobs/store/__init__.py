"""Durable rows of uploads, jobs, arrays and events in SQLite."""
