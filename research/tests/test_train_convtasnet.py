"""The trainer learns, starts from a network that already passes the mix, and resumes to the same weights."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from research.tests.helpers.tiny_bank import save_tiny_bank, tiny_bank
from ugosa_research.songs.bank.split import training_split
from ugosa_research.songs.basis import start_from_cosines
from ugosa_research.songs.generator import generate_song
from ugosa_research.songs.song_window import WindowPlan
from ugosa_research.training.augment import Batch
from ugosa_research.training.convtasnet import ConvTasNetTraining, l1_loss, rms_loss
from ugosa_research.training.export import export_weights
from ugosa_research.training.measure import as_returned, measure
from ugosa_research.training.run import run_training
from ugosa_research.training.training_config import TrainingConfig, load_training_config
from ugosa_research.training.training_state import train_steps
from ugosa_research.training.validation import sdr_db
from ugosa_research.training.widen import widened
from ugosa_server.errors import BadOptionError, ConfigError
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint, weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.registry import read_model_info

RECIPES = Path(__file__).parents[1] / "recipes"
NETWORK = ConvTasNetConfig(
    encoder_filters=64,
    encoder_length=128,
    bottleneck_channels=24,
    block_channels=32,
    blocks_per_repeat=3,
    repeats=2,
)
CONFIG = TrainingConfig(
    network=NETWORK,
    songs=WindowPlan(seed=1, song_s=1.0, n_songs=3, n_ahead=1, songs_a_step=0.5),
    seed=3,
    loss="rms",
    steps=6,
    batch_size=2,
    segment_s=0.25,
    learning_rate=3e-3,
    warmup_steps=2,
    decay_steps=2,
    validate_every_steps=3,
    validation_songs=2,
    validation_song_s=1.0,
)


@pytest.fixture(scope="module")
def song():
    bank = tiny_bank()
    stems = generate_song(bank, training_split(bank), 2, 3.0)
    return stems / np.sqrt(np.mean(stems.sum(axis=0) ** 2))


def test_a_tiny_network_overfits_one_song(song):
    torch.set_num_threads(1)
    config = dataclasses.replace(CONFIG, steps=300, warmup_steps=10, decay_steps=100, ema_decay=0.9)
    state = ConvTasNetTraining(config)
    stems = torch.from_numpy(song)
    with torch.no_grad():
        before = sdr_db(stems, state.network(stems.sum(dim=0)[None])[0])

    def batch_of(step):
        start = step * 4410 % (song.shape[-1] - 44100)
        return Batch(song[None, :, :, start : start + 44100], np.array([False]))

    reports = list(train_steps(state, batch_of, config.steps))
    with torch.no_grad():
        after = sdr_db(stems, state.averaged_network().eval()(stems.sum(dim=0)[None])[0])
    assert reports[-1].loss < 0.75 * reports[0].loss
    heard = stems.square().mean(dim=(-2, -1)) > 1e-3
    assert (after - before)[heard].mean() > 3.0


@pytest.mark.parametrize("loss", ["rms", "l1"])
def test_workers_that_share_a_batch_learn_what_one_learns(song, loss):
    rng = np.random.default_rng(0)
    starts = rng.integers(song.shape[-1] - 8000, size=3)
    stems = np.stack([song[..., start : start + 8000] for start in starts])
    batch = Batch(stems, np.array([False, True, False]))

    def trained(threads):
        config = dataclasses.replace(
            CONFIG, batch_size=3, threads=threads, loss=loss, basis_learning_rate_share=0.0
        )
        state = ConvTasNetTraining(config)
        assert state.workers == threads
        losses = [float(state.take_step(batch)) for _ in range(3)]
        return losses, state.network.state_dict()

    (losses, weights), (losses_of_two, weights_of_two) = trained(1), trained(2)
    assert losses_of_two == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(weights_of_two, weights, atol=1e-5, rtol=1e-4)


def test_the_untrained_network_returns_an_equal_share_of_the_mix():
    torch.manual_seed(0)
    network = ConvTasNet(dataclasses.replace(NETWORK, encoder_filters=512)).eval()
    start_from_cosines(network)
    t = torch.arange(8000) / 44100
    mix = torch.stack([torch.sin(2 * torch.pi * 440 * t), torch.sin(2 * torch.pi * 1500 * t)])[None]
    with torch.no_grad():
        stems = network(mix)[0, :, :, 128:-256]
    share = mix[0, :, 128:-256] / 4
    for stem in stems:
        assert sdr_db(share[None], stem[None]).item() > 12


def test_cosines_need_a_multiple_of_eight_filters():
    with pytest.raises(BadOptionError, match="12"):
        start_from_cosines(ConvTasNet(dataclasses.replace(NETWORK, encoder_filters=12)))


def test_losses_are_the_formulas():
    estimates, stems = torch.randn(2, 4, 2, 100), torch.randn(2, 4, 2, 100)
    assert l1_loss(estimates, stems).item() == pytest.approx((estimates - stems).abs().mean().item())
    error = (estimates - stems).reshape(8, -1).norm(dim=1) / 200**0.5
    assert rms_loss(estimates, stems).item() == pytest.approx(error.mean().item(), rel=1e-5)


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    config = dataclasses.replace(CONFIG, steps=100, warmup_steps=10, decay_steps=20, learning_rate=1.0)
    rates = [config.learning_rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == [1.0] * 72
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0
    config = dataclasses.replace(config, decay="cosine")
    falling = [config.learning_rate_at(step) for step in (79, 80, 85, 90, 100)]
    assert falling == pytest.approx([1, 1, 0.5 + 0.5**1.5, 0.5, 0])


def test_killed_training_resumes_to_same_weights_and_exports(tmp_path):
    torch.set_num_threads(1)
    save_tiny_bank(tmp_path / "bank")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    list(run_training(ConvTasNetTraining(CONFIG), tmp_path / "bank", straight))

    short = dataclasses.replace(CONFIG, checkpoint_every_s=0.0)
    running = run_training(ConvTasNetTraining(short), tmp_path / "bank", killed)
    for progress in running:
        if progress.validation is not None and (killed / "state.pt").exists():
            running.close()  # as a kill does: nothing more is saved
    resumed = list(run_training(ConvTasNetTraining(CONFIG), tmp_path / "bank", killed))
    assert resumed[0].report.step > 3

    exported = export_weights(killed, tmp_path / "tiny.safetensors", "a test", '{"learning_rate": 1e-4}')
    model = read_model_info(exported.path)
    assert exported.path.with_suffix(".sha256").read_text().split() == [exported.sha256, "tiny.safetensors"]
    assert (model.name, model.description, model.config) == ("tiny", "a test", NETWORK)
    assert model.sha256 == exported.sha256

    first, again = (load_checkpoint(folder / "last.safetensors")[1] for folder in (straight, killed))
    assert weights_digest(first) == weights_digest(again)
    assert read_header(killed / "last.safetensors").metadata["step"] == "6"


def test_a_state_of_another_network_is_refused(tmp_path):
    ConvTasNetTraining(CONFIG).save(tmp_path / "state.pt")
    wider = dataclasses.replace(CONFIG, network=dataclasses.replace(NETWORK, block_channels=40))
    with pytest.raises(ConfigError, match="no state of this training"):
        ConvTasNetTraining(wider).load(tmp_path / "state.pt")


def test_a_training_may_go_on_from_the_weights_of_a_model_file(tmp_path):
    state = ConvTasNetTraining(CONFIG)
    save_checkpoint(tmp_path / "model.safetensors", state.average, NETWORK, {})
    later = dataclasses.replace(CONFIG, seed=99, start_from=str(tmp_path / "model.safetensors"))
    assert weights_digest(ConvTasNetTraining(later).average) == weights_digest(state.average)
    wider = dataclasses.replace(later, network=dataclasses.replace(NETWORK, encoder_filters=128))
    assert weights_digest(ConvTasNetTraining(wider).average) == weights_digest(
        widened(state.average, NETWORK, wider.network)
    )
    for change in ({"block_channels": 40}, {"encoder_filters": 32}):
        other = dataclasses.replace(later, network=dataclasses.replace(NETWORK, **change))
        with pytest.raises(ConfigError, match="other sizes"):
            ConvTasNetTraining(other)


def test_a_config_file_is_read_and_unknown_keys_are_named(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 4\nloss = "rms"\n[network]\nrepeats = 2\n[songs]\nseed = 9\nn_songs = 5\n')
    config = load_training_config(path)
    assert (config.seed, config.loss, config.network.repeats, config.songs.n_songs) == (4, "rms", 2, 5)
    path.write_text("[songs]\nseed = 9\nlenght = 5\n")
    with pytest.raises(ConfigError, match="lenght"):
        load_training_config(path)
    path.write_text('loss = "l3"\n[songs]\nseed = 9\n')
    with pytest.raises(ConfigError, match="l3"):
        load_training_config(path)


def test_the_shipped_recipes_are_complete():
    for name in ("starter", "full"):
        load_training_config(RECIPES / f"{name}.toml")
    assert load_training_config(RECIPES / "full.toml").network == ConvTasNetConfig()


def test_oracle_beats_equal_masks_and_silence_does_not_count(song):
    silent = song.copy()
    silent[1] = 0
    equal, network, _, oracle = measure(ConvTasNet(NETWORK), [song, silent])
    assert [equal.system, network.system, oracle.system] == ["equal masks", "network", "oracle ratio masks"]
    assert np.isnan(oracle.by_song_db[1, 1])
    heard = ~np.isnan(oracle.by_song_db)
    assert (oracle.by_song_db[heard] > equal.by_song_db[heard]).all()
    mix = song.sum(axis=0)
    expected = 10 * np.log10((song[0] ** 2).sum() / ((song[0] - mix / 4) ** 2).sum())
    assert equal.by_song_db[0, 0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_what_a_job_returns_is_measured_too(song, exponent):
    mix = torch.from_numpy(song).sum(dim=0)
    halves = torch.from_numpy(song) * 0.5  # good estimates that leave half of the mix
    returned = as_returned(halves, mix, NETWORK, exponent)
    torch.testing.assert_close(returned.sum(dim=0), mix, atol=1e-6, rtol=0)
    assert not torch.allclose(returned, as_returned(halves, mix, NETWORK, 1.0 - exponent), atol=1e-3)
    sounding = torch.from_numpy(song).square().mean(dim=(1, 2)) > 1e-4
    gains = sdr_db(torch.from_numpy(song), returned) - sdr_db(torch.from_numpy(song), halves)
    assert gains[sounding].max() > 1
