"""The demo's song is what its mark and its words say."""

import numpy as np

from ugosa_server.demo.run import FOLDER, load_demo_song

SILENT_DBFS = -60.0


def test_the_mark_lies_where_the_guitar_rests():
    song = load_demo_song()
    (mark,) = song.marks
    guitar, rest = (np.abs(stem[mark.start_frame : mark.end_frame]) for stem in song.stems.values())
    assert mark.source == "other"
    assert mark.end_frame - mark.start_frame > 12 * song.sample_rate_hz  # enough for the guard
    assert 20 * np.log10(guitar.max()) < SILENT_DBFS
    assert 20 * np.log10(rest.max()) > -12.0


def test_the_stems_add_up_to_a_mix_of_forty_seconds():
    song = load_demo_song()
    assert round(song.duration_s) == 40
    np.testing.assert_allclose(sum(song.stems.values()), song.mix, atol=1e-6)
    assert abs(np.abs(song.mix).max() - 0.97) < 1e-3


def test_the_licence_lies_beside_the_song():
    assert "Permission is hereby granted, free of charge" in (FOLDER / "LICENSE").read_text()
