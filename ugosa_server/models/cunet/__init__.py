"""Conditioned U-Net (Slizovskaia, Haro and Gomez 2021): sizes, network, conditioning, checkpoints."""
