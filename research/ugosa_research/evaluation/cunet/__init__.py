"""Evaluation of Conditioned U-Nets on ensembles of many instruments."""
