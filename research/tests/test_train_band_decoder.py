"""The decoder of a band learns behind frozen stages, resumes to the same weights, and is exported alone."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from research.tests.helpers.tiny_bank import save_tiny_bank, tiny_bank
from tests.helpers.plain_spleeter import TINY_FILTERS, tiny_spleeter
from ugosa_research.songs.bank.split import training_split
from ugosa_research.songs.generator import generate_song
from ugosa_research.songs.song_window import WindowPlan
from ugosa_research.training.augment import AugmentOptions, Batch
from ugosa_research.training.band_decoder import DecoderTraining, spectral_rms_loss
from ugosa_research.training.export import export_weights
from ugosa_research.training.run import run_training
from ugosa_research.training.training_config import TrainingConfig, load_training_config
from ugosa_server.errors import BadOptionError, ConfigError
from ugosa_server.models.band.network import AccompanimentDecoder
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint, weights_digest
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.spleeter.network import SpleeterNetwork

RECIPE = Path(__file__).parents[1] / "recipes" / "band.toml"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def config(tmp_path):
    first = tiny_spleeter()
    save_checkpoint(tmp_path / "first.safetensors", first.state_dict(), first.config)
    return TrainingConfig(
        network=ConvTasNetConfig(),
        songs=WindowPlan(seed=1, song_s=1.0, n_songs=3, n_ahead=1, songs_a_step=0.5),
        seed=3,
        start_from=str(tmp_path / "first.safetensors"),
        steps=4,
        batch_size=2,
        segment_s=0.5,
        learning_rate=3e-3,
        warmup_steps=1,
        decay_steps=2,
        ema_decay=0.9,
        validate_every_steps=2,
        validation_songs=1,
        validation_song_s=1.0,
    )


def test_the_decoder_learns_and_the_stages_stay_as_they_are(config):
    bank = tiny_bank()
    song = generate_song(bank, training_split(bank), 2, 1.0)
    batch = Batch(song[None, ..., :22050], [False])
    training = DecoderTraining(dataclasses.replace(config, steps=16, learning_rate=1e-2))
    before = {name: value.clone() for name, value in training.band.state_dict().items()}
    losses = [float(training.take_step(batch)) for _ in range(16)]
    assert losses[-1] < 0.9 * losses[0]
    after = training.averaged_network().state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"decoder.head.weight", "decoder.up.0.weight"} <= changed
    assert all(name.startswith("decoder.") for name in changed)


def test_first_weights_are_those_of_the_accompaniment(config):
    _, first = load_checkpoint(Path(config.start_from))
    decoder = DecoderTraining(config).average
    for name, tensor in decoder.items():
        if not name.startswith("head"):
            assert torch.equal(tensor, first[f"unets.1.{name}"]), name


def test_the_loss_is_on_the_scale_of_the_waveform():
    audio = 0.1 * torch.randn(2, 2, 200_000)
    low = torch.nn.functional.avg_pool1d(audio, 8).repeat_interleave(8, dim=-1)
    low = torch.fft.irfft(torch.fft.rfft(low)[..., :40_000], n=200_000)  # below 9 kHz
    spectrum = SpleeterNetwork(tiny_spleeter().config).spectrum(low)[:, None, ..., :1024]
    rms = low.square().mean(dim=(1, 2)).sqrt().mean().item()
    assert spectral_rms_loss(torch.zeros_like(spectrum), spectrum).item() == pytest.approx(rms, rel=0.03)


def test_killed_training_resumes_to_same_weights_and_exports(config, tmp_path):
    save_tiny_bank(tmp_path / "bank")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    *_, last = run_training(DecoderTraining(config), tmp_path / "bank", straight)
    assert set(last.validation.sdr_db) == {"drums", "bass", "other", "vocals"}
    eager = DecoderTraining(dataclasses.replace(config, checkpoint_every_s=0.0))
    running = run_training(eager, tmp_path / "bank", killed)
    next(progress for progress in running if progress.validation is not None)
    running.close()  # as a kill does: nothing more is saved
    resumed = DecoderTraining(config)
    reports = list(run_training(resumed, tmp_path / "bank", killed))
    assert reports[0].report.step == 4  # from 2 on
    first, again = (load_checkpoint(folder / "last.safetensors")[1] for folder in (straight, killed))
    assert weights_digest(first) == weights_digest(again)

    exported = export_weights(killed, tmp_path / "decoder.safetensors", "", weights="last")
    decoder = AccompanimentDecoder(TINY_FILTERS, "leaky_relu", 3)
    decoder.load_state_dict(load_file(exported.path))
    for name, tensor in decoder.state_dict().items():
        torch.testing.assert_close(tensor, resumed.average[name], rtol=1e-3, atol=1e-6)
    assert exported.path.with_suffix(".sha256").read_text() == f"{exported.sha256}  decoder.safetensors\n"


@pytest.mark.parametrize(
    "change", [{"precision": "bfloat16"}, {"augment": AugmentOptions(two_stem_share=0.1)}]
)
def test_what_the_decoder_cannot_learn_from_is_refused(config, change):
    with pytest.raises(ConfigError, match="set float32 and 0"):
        DecoderTraining(dataclasses.replace(config, **change))


def test_first_stages_of_another_kind_are_refused(config, tmp_path):
    four = tiny_spleeter(("vocals", "drums", "bass", "other"))
    save_checkpoint(tmp_path / "four.safetensors", four.state_dict(), four.config)
    with pytest.raises(BadOptionError, match="vocals, drums, bass, other"):
        DecoderTraining(dataclasses.replace(config, start_from=str(tmp_path / "four.safetensors")))


def test_the_recipe_is_complete():
    recipe = load_training_config(RECIPE)
    assert recipe.learning_rate_at(2000) == recipe.learning_rate > recipe.learning_rate_at(2001)
