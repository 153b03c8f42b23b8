"""Conditioned U-Nets: training targets, files of video features, experiments beyond the shipped ones."""
