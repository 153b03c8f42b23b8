"""Real songs of two known stems teach only what is known of them."""

import numpy as np
import pytest
import soundfile
import torch

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS
from ugosa_research.songs.two_stem import TwoStemSongs, as_known, read_two_stem_songs
from ugosa_research.training.augment import AugmentOptions, make_batch
from ugosa_research.training.convtasnet import rms_loss
from ugosa_server.errors import ConfigError

DRUMS, BASS, OTHER, VOCALS = range(len(STEMS))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("Song", "War of freedom"):  # the second is held out
        (tmp_path / name).mkdir()
        for part in ("guitar", "song"):
            soundfile.write(
                tmp_path / name / f"{part}.ogg", rng.uniform(-0.5, 0.5, (44100, 2)), SAMPLE_RATE_HZ
            )
    return tmp_path


def test_held_out_songs_are_not_read(folder):
    assert len(read_two_stem_songs(folder).songs) == 1


def test_a_folder_without_songs_is_told_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match="two_stem_share = 0"):
        read_two_stem_songs(tmp_path)


def test_an_example_holds_guitar_and_backing_and_nothing_else(folder):
    songs = read_two_stem_songs(folder)
    options = AugmentOptions(two_stem_share=1.0)
    batch = make_batch(1, 2, range(0), 1.0, 2, 0.2, None, options, songs)
    assert batch.two_stem.all()
    assert batch.stems.shape == (2, 4, 2, 8820)
    sounding = batch.stems.any(axis=(2, 3))
    assert sounding[:, [DRUMS, OTHER]].all()
    assert not sounding[:, [BASS, VOCALS]].any()


@pytest.mark.parametrize(
    ("remix_share", "pairs"), [(0.0, {(1, 2), (3, 4)}), (1.0, {(1, 2), (1, 4), (3, 2), (3, 4)})]
)
def test_remixed_examples_pair_guitars_with_any_backing(remix_share, pairs):
    songs = TwoStemSongs(
        [
            np.stack([np.full((2, 44100), level / 10, np.float16) for level in levels])
            for levels in ((1, 2), (3, 4))
        ]
    )
    options = AugmentOptions(
        two_stem_share=1.0,
        two_stem_remix_share=remix_share,
        two_stem_gain_db=0.0,
        shelf_db=0.0,
        speed_spread=0.0,
    )
    stems = make_batch(1, 2, range(0), 1.0, 40, 0.02, None, options, songs).stems
    ratios = {round(float(ratio), 2) for ratio in np.abs(stems[:, OTHER, 0, 0] / stems[:, DRUMS, 0, 0])}
    assert ratios == {round(guitar / backing, 2) for guitar, backing in pairs}


def test_guitars_can_be_made_quieter(folder):
    songs = read_two_stem_songs(folder)

    def guitar_db(mean_db):
        options = AugmentOptions(two_stem_share=1.0, two_stem_gain_db=0.0, two_stem_guitar_db=mean_db)
        stems = make_batch(1, 2, range(0), 1.0, 2, 0.2, None, options, songs).stems
        powers = np.square(stems[:, [OTHER, DRUMS]]).mean(axis=(2, 3))
        return 10 * np.log10(powers[:, 0] / powers[:, 1])

    np.testing.assert_allclose(guitar_db(-6.0), guitar_db(0.0) - 6.0, atol=1e-3)


def test_how_the_backing_is_divided_costs_nothing_but_other_does():
    torch.manual_seed(0)
    stems = torch.zeros(2, 4, 2, 1000)
    stems[:, DRUMS], stems[:, OTHER] = torch.randn(2, 2, 2, 1000)
    two_stem = torch.tensor([True, False])
    divided = stems.clone()
    divided[:, VOCALS] = 0.3 * divided[:, DRUMS]
    divided[:, DRUMS] *= 0.7

    def loss(estimates, example):
        pair = slice(example, example + 1)
        known, wanted = (as_known(audio[pair], two_stem[pair]) for audio in (estimates, stems))
        return rms_loss(known, wanted).item()

    assert loss(divided, 0) == pytest.approx(1e-4, rel=0.1)  # the root's floor
    assert loss(divided, 1) > 0.1
    divided[:, OTHER] *= 0.5
    assert loss(divided, 0) > 0.1
