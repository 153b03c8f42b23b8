"""Real songs with stems take part in the examples, beside generated ones."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS
from ugosa_research.songs.stem_songs import KNOWN, read_stem_songs
from ugosa_research.training.augment import AugmentOptions, make_batch
from ugosa_server.errors import ConfigError

DRUMS, BASS, OTHER, VOCALS = range(len(STEMS))
PLAIN = AugmentOptions(
    remix_share=0.0,
    gain_db=0.0,
    absent_share=0.0,
    shelf_db=0.0,
    limiter_share=0.0,
    shared_dynamics_db=0.0,
    speed_spread=0.0,
    stem_song_share=1.0,
)
REMIXED = replace(PLAIN, remix_share=1.0)


def write_song(folder, levels=(0.1, 0.2, 0.4), n=44100, silent_before=0):
    folder.mkdir(parents=True)
    for name, level in zip(KNOWN, levels, strict=True):
        audio = np.full((n, 2), level)
        audio[:silent_before] = 0
        soundfile.write(folder / f"{name}.flac", audio, SAMPLE_RATE_HZ)


def generated(song, which, start, length):
    """A window of generated songs whose stems are all 0.3."""
    return np.full((len(STEMS[which]), 2, length), 0.3, np.float32)


@pytest.mark.parametrize("options", [PLAIN, REMIXED])
def test_real_songs_give_their_stems_and_vocals_are_generated(tmp_path, options):
    write_song(tmp_path / "Song")
    batch = make_batch(1, 2, range(3), 1.0, 2, 0.2, generated, options, None, read_stem_songs(tmp_path))
    levels = np.abs(batch.stems).mean(axis=(2, 3))  # examples are levelled: only ratios are known
    np.testing.assert_allclose(levels / levels[:, [VOCALS]], [[1 / 3, 2 / 3, 4 / 3, 1]] * 2, rtol=1e-3)


def test_with_a_share_of_none_no_real_song_is_heard(tmp_path):
    write_song(tmp_path / "Song")
    options = replace(PLAIN, stem_song_share=0.0)
    batch = make_batch(1, 2, range(3), 1.0, 2, 0.2, generated, options, None, read_stem_songs(tmp_path))
    levels = np.abs(batch.stems).mean(axis=(2, 3))
    np.testing.assert_allclose(levels / levels[:, [VOCALS]], 1, rtol=1e-3)


def test_a_stretch_begins_where_the_stem_sounds(tmp_path):
    write_song(tmp_path / "Song", silent_before=30000)
    songs = read_stem_songs(tmp_path)
    for seed in range(20):
        assert songs.segment(np.random.default_rng(seed), slice(BASS, BASS + 1), 4410).any()


def test_a_song_shorter_than_the_stretch_ends_in_silence(tmp_path):
    write_song(tmp_path / "Song", n=1000)
    stems = read_stem_songs(tmp_path).segment(np.random.default_rng(0), slice(None), 4410)
    assert stems.shape == (4, 2, 4410)
    assert stems[DRUMS, :, :1000].all()
    assert not stems[:, :, 1000:].any()


def test_a_song_is_measured_around_its_middle(tmp_path):
    write_song(tmp_path / "Song", silent_before=22050)
    (song,) = read_stem_songs(tmp_path).songs
    middle = song.middle(0.5)
    assert middle.shape == (4, 2, 22050)
    assert not middle[:VOCALS, :, : 11025 - 1].any()
    assert middle[:VOCALS, :, 11025:].all()
    assert song.middle(60.0).shape == (4, 2, 44100)


def test_a_folder_without_songs_is_told_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match="train songs"):
        read_stem_songs(tmp_path)


def test_stems_of_different_length_are_refused_by_name(tmp_path):
    write_song(tmp_path / "Song")
    soundfile.write(tmp_path / "Song" / "bass.flac", np.zeros((100, 2)), SAMPLE_RATE_HZ)
    with pytest.raises(ConfigError, match=r"Song.*not all of one length"):
        read_stem_songs(tmp_path)


def test_a_missing_stem_is_refused_by_name(tmp_path):
    write_song(tmp_path / "Song")
    (tmp_path / "Song" / "other.flac").unlink()
    with pytest.raises(ConfigError, match=r"Song is no song"):
        read_stem_songs(tmp_path)
