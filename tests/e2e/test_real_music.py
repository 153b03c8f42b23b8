"""Promises on recorded music with the shipped network, where their words can be taken literally."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.helpers.jobs import silent
from tests.helpers.songs import read_audio
from ugosa_client import JobOptions, SeparationRequest, UgosaClient
from ugosa_server.demo.run import load_demo_song

FADE_S = 0.010


def test_steps_at_edges_of_marks_are_no_larger_than_in_the_mix(client: UgosaClient, tmp_path: Path):
    song = load_demo_song()
    path = tmp_path / "mix.wav"
    soundfile.write(path, song.mix, song.sample_rate_hz, subtype="PCM_24")
    marks = [silent(mark.source, mark.start_frame, mark.end_frame) for mark in song.marks]
    request = SeparationRequest(path, marks=marks, options=JobOptions(model="starter", epochs=2))
    stems = client.separate(request, tmp_path / "stems").files.stems
    mix = read_audio(path)
    fade = round(FADE_S * song.sample_rate_hz)
    edges = [
        (mark.source, edge)
        for mark in song.marks
        for edge in (mark.start_frame, mark.end_frame)
        if 0 < edge < len(mix)
    ]
    assert len(edges) == 2
    for source, edge in edges:
        around = slice(edge - fade, edge + fade)
        assert largest_step(read_audio(stems[source])[around]) <= largest_step(mix[around])


def largest_step(audio: np.ndarray) -> float:
    """Return the largest difference between neighbouring samples of a channel; audio is [T, C]."""
    return float(np.max(np.abs(np.diff(audio, axis=0))))
