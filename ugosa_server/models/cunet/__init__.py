"""Conditioned U-Net (Slizovskaia, Haro, Gomez)."""
