"""Durable jobs: store, spool, scheduler, events."""
