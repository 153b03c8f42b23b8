"""Metrics, data preparation and experiments."""
