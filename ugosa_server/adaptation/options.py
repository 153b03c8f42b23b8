"""Options of one adaptation (torch-free, so that the front process can validate them)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AdaptationOptions:
    """How the network is fine-tuned to a song; the defaults are the paper's (Cantisani et al. 2021)."""

    strategy: str = "P-L3:D"
    """What is trained, in the paper's names: `P-` with the marks, `B-` without, `B0` not at all."""
    silence_weight: float = 1.0
    """lambda of Eq. 2, on a *sum* over sources; >= 0. (The authors' code takes a mean: its 1 is 1/S here.)"""
    learning_rate: float = 1e-5
    """Of Ranger; > 0."""
    epochs: int = 10
    """Passes over the song; >= 0."""
    segment_s: float = 4.0
    """Length of a training segment in seconds; > 0."""
    hop_s: float | None = None
    """Distance between starts of segments in seconds; None = segment_s (consecutive segments)."""
    batch_size: int = 1
    """Segments a step; >= 1."""
    pitch_shifts: int = 0
    """Pitch-shifted observations of every segment, besides the segment itself; >= 0."""
