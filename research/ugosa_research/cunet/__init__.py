"""Experiments with Conditioned U-Nets beyond the shipped ones."""
