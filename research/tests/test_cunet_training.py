"""The trainer of the Conditioned U-Net learns, halves its rate, raises its stage, and resumes exactly."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from research.tests.helpers.tiny_solos import CLASSES, save_tiny_solos
from ugosa_research.training.cunet.mixing import MixBatch, mixed_batch
from ugosa_research.training.cunet.plateau import Plateau
from ugosa_research.training.cunet.recipe import (
    PAPER,
    PUBLISHED_CODE,
    CunetRecipe,
    MixOptions,
    load_recipe,
)
from ugosa_research.training.cunet.run import run_cunet_training
from ugosa_research.training.cunet.solos import read_solos
from ugosa_research.training.cunet.steps import (
    CunetTraining,
    batch_loss,
    mask_losses,
    mix_and_context,
    targets_of,
)
from ugosa_research.training.export import export_weights
from ugosa_server.cli import main
from ugosa_server.errors import ConfigError
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint, weights_digest
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import magnitudes, spectrum, values

RECIPES = Path(__file__).parents[1] / "recipes"
RECIPE = CunetRecipe(
    network=ConditionedUNetConfig(instruments=CLASSES, first_channels=2),
    mix=MixOptions(most_sources=3, clip=False, mix_rms=0.1, same_take_share=0.5),
    seed=3,
    iterations=4,
    batch_size=2,
    learning_rate=3e-3,
    reduction="mean",
    ema_decay=0.9,
    validate_every=2,
    validation_examples=2,
    validation_share=0.5,
)


@pytest.fixture(scope="module")
def solos(tmp_path_factory):
    return save_tiny_solos(tmp_path_factory.mktemp("solos"), takes=4)


def fixed_batch(solos):
    return mixed_batch(read_solos(solos, CLASSES), RECIPE.mix, 2, 3, (1,))


def test_a_tiny_network_learns_one_batch(solos):
    torch.set_num_threads(1)
    network = dataclasses.replace(RECIPE.network, first_channels=4, dropout=0.0)
    recipe = dataclasses.replace(
        RECIPE, network=network, loss="smooth-l1", magnitude_weighted=True, learning_rate=2e-2
    )
    state = CunetTraining(recipe)
    batch = fixed_batch(solos)
    losses = [float(state.step(batch)) for _ in range(20)]
    assert losses[-1] < 0.65 * losses[0]


def test_a_halving_halves_the_step_that_adam_takes(solos):
    batch = fixed_batch(solos)
    moved = []
    for halvings in (0, 1):
        state = CunetTraining(RECIPE)
        state.plateau = dataclasses.replace(state.plateau, halvings=halvings)
        before = {name: value.detach().clone() for name, value in state.network.named_parameters()}
        state.step(batch)
        assert {group["lr"] for group in state.optimiser.param_groups} == {RECIPE.learning_rate / 2**halvings}
        moved.append({n: value.detach() - before[n] for n, value in state.network.named_parameters()})
    for name, whole in moved[0].items():  # the first step of Adam is in proportion to the rate
        assert torch.allclose(moved[1][name], whole / 2, rtol=1e-3, atol=1e-7)


def test_plateau_raises_the_stage_then_halves_the_rate():
    recipe = dataclasses.replace(RECIPE, stage_patience=10, halving_patience=25)
    state = Plateau(2).after(5, 1.0, recipe)
    for iteration in (10, 14):
        state = state.after(iteration, 1.0, recipe)
    assert (state.stage, state.halvings) == (2, 0)
    state = state.after(15, 1.0, recipe)
    assert (state.stage, state.stage_best) == (3, float("inf"))  # mixes of three are a new game
    state = state.after(20, 2.0, recipe)
    for iteration in (30, 44):
        state = state.after(iteration, 2.0, recipe)
    assert (state.stage, state.halvings) == (3, 0)  # the last stage
    state = state.after(45, 2.0, recipe)
    assert state.halvings == 1
    assert state.learning_rate(recipe) == recipe.learning_rate / 2
    assert state.after(50, 1.9, recipe).after(74, 1.9, recipe).halvings == 1
    assert state.after(50, 1.9, recipe).after(75, 1.9, recipe).halvings == 2


def test_stage_and_rate_of_a_run_follow_its_validations(solos, tmp_path):
    recipe = dataclasses.replace(
        RECIPE, iterations=5, validate_every=1, stage_patience=1, halving_patience=1, least_gain=1.0
    )  # no loss is ever better enough
    reports = list(run_cunet_training(recipe, solos, tmp_path))
    assert [report.stage for report in reports] == [2, 3, 3, 3, 3]
    assert reports[-1].learning_rate < recipe.learning_rate / 4


def test_a_resumed_run_ends_in_the_same_weights(solos, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    list(run_cunet_training(RECIPE, solos, whole))
    list(run_cunet_training(dataclasses.replace(RECIPE, iterations=2), solos, halves))
    list(run_cunet_training(RECIPE, solos, halves))
    for name in ("last", "best"):
        config, state = load_checkpoint(whole / f"{name}.safetensors")
        assert config == RECIPE.network
        assert weights_digest(state) == weights_digest(load_checkpoint(halves / f"{name}.safetensors")[1])


def test_a_state_of_another_network_is_refused(solos, tmp_path):
    list(run_cunet_training(dataclasses.replace(RECIPE, iterations=1), solos, tmp_path))
    other = dataclasses.replace(RECIPE, network=dataclasses.replace(RECIPE.network, first_channels=3))
    with pytest.raises(ConfigError, match="no state of this training"):
        list(run_cunet_training(other, solos, tmp_path))


def test_a_step_can_learn_from_a_part_of_the_frames(solos):
    cropped = CunetTraining(dataclasses.replace(RECIPE, crop_frames=64))
    whole = CunetTraining(RECIPE)
    batch = fixed_batch(solos)
    assert float(cropped.step(batch)) != float(whole.step(batch))
    cropped.network.eval()  # a validation hears all
    whole.network.load_state_dict(cropped.network.state_dict())
    whole.network.eval()
    assert batch_loss(cropped.network, batch, cropped.recipe) == batch_loss(whole.network, batch, RECIPE)


def test_recipe_can_measure_statistics_of_averaged_weights(solos, tmp_path):
    state = CunetTraining(RECIPE)
    batch = fixed_batch(solos)
    for _ in range(3):
        state.step(batch)
    kept = {name: value.clone() for name, value in state.average.items()}
    averaged, calibrated = state.averaged_network(), state.averaged_network(batch)
    mix, context = mix_and_context(batch, RECIPE)
    heard = values(magnitudes(spectrum(mix), RECIPE.network), RECIPE.network)
    found: list[torch.Tensor] = []
    calibrated.encoder[0].conv.register_forward_hook(lambda _, __, out: found.append(out))
    calibrated.mask_logits(heard, context)
    norm = calibrated.encoder[0].norm
    assert torch.allclose(norm.running_mean, found[0].mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, found[0].var(dim=(0, 2, 3)), rtol=1e-3)
    assert not torch.allclose(averaged.encoder[0].norm.running_var, norm.running_var, rtol=1e-3)
    assert all(torch.equal(value, kept[name]) for name, value in state.average.items())
    assert all(map(torch.equal, averaged.parameters(), calibrated.parameters()))

    list(run_cunet_training(RECIPE, solos, tmp_path / "plain"))
    list(run_cunet_training(dataclasses.replace(RECIPE, calibration_examples=2), solos, tmp_path / "run"))
    plain, exported = (load_checkpoint(tmp_path / name / "last.safetensors")[1] for name in ("plain", "run"))
    changed = {name for name, value in plain.items() if not torch.equal(value, exported[name])}
    assert changed
    assert {name.rpartition(".")[2] for name in changed} <= {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_bfloat16_step_keeps_weights_and_validation_float32(solos):
    narrow = CunetTraining(dataclasses.replace(RECIPE, precision="bfloat16"))
    whole = CunetTraining(RECIPE)
    batch = fixed_batch(solos)
    first, exact = float(narrow.step(batch)), float(whole.step(batch))
    assert first != exact
    assert first == pytest.approx(exact, rel=0.02)
    assert float(narrow.step(batch)) < first
    assert {value.dtype for value in narrow.network.parameters()} == {torch.float32}
    network = narrow.averaged_network()
    assert batch_loss(network, batch, narrow.recipe) == batch_loss(network, batch, RECIPE)


def test_export_is_float16_except_weights_that_do_not_fit(solos, tmp_path):
    run = tmp_path / "run"
    list(run_cunet_training(dataclasses.replace(RECIPE, iterations=1), solos, run))
    assert set(export_weights(run, tmp_path / "small.safetensors", "").validation_db) == {
        "SI-SDR",
        "of the mix",
    }
    assert (tmp_path / "small.safetensors").stat().st_size < 0.6 * (run / "best.safetensors").stat().st_size
    config, state = load_checkpoint(run / "best.safetensors")
    large = "decoders.0.0.norm.running_var"
    state[large][0] = 70_000.0
    save_checkpoint(run / "best.safetensors", state, config, read_header(run / "best.safetensors").metadata)
    export_weights(run, tmp_path / "large.safetensors", "")
    kept = load_checkpoint(tmp_path / "large.safetensors")[1]
    assert torch.equal(kept[large], state[large])
    assert torch.equal(kept["encoder.0.conv.weight"], state["encoder.0.conv.weight"].half().float())
    assert (tmp_path / "large.safetensors").stat().st_size < 0.6 * (run / "best.safetensors").stat().st_size


def test_start_from_weights_takes_all_but_film(solos, tmp_path):
    multiply = dataclasses.replace(
        RECIPE, network=dataclasses.replace(RECIPE.network, conditioning="label-multiply"), iterations=1
    )
    list(run_cunet_training(multiply, solos, tmp_path))
    state = CunetTraining(RECIPE)
    state.start_from(tmp_path / "last.safetensors")
    _, before = load_checkpoint(tmp_path / "last.safetensors")
    fresh = CunetTraining(RECIPE).average
    for name, value in state.network.state_dict().items():
        expected = fresh[name] if name.startswith("film.") else before[name].to(value.dtype)
        assert torch.equal(value, expected)
        assert torch.equal(state.average[name], expected)
    wider = dataclasses.replace(RECIPE, network=dataclasses.replace(RECIPE.network, first_channels=3))
    with pytest.raises(ConfigError, match="of the sizes of this training"):
        CunetTraining(wider).start_from(tmp_path / "last.safetensors")


def test_targets_are_zero_if_absent_and_one_if_alone(solos):
    recordings = read_solos(solos, CLASSES)
    audio = recordings.by_instrument["cello"][0].segment(0)
    sources = np.zeros((1, 3, len(audio)), np.float32)
    sources[0, 0] = audio
    batch = MixBatch(sources, audio[None], np.array([[1, 0, 0]], np.float32)).checked()
    mix, target = targets_of(torch.from_numpy(batch.mix), batch, RECIPE)
    assert not target[0, 1:].any()
    assert torch.all(target[0, 0][mix[0] > 0.1] > 0.99)


def test_losses_against_numpy():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(2, 3, 4, 5)), rng.random((2, 3, 4, 5))
    masks = 1 / (1 + np.exp(-logits))
    weighted = dataclasses.replace(RECIPE, positive_weight=5.0)
    found = mask_losses(torch.from_numpy(logits), torch.from_numpy(target), weighted).numpy()
    assert np.allclose(found, -(5 * target * np.log(masks) + (1 - target) * np.log(1 - masks)))  # Eq. 6
    smooth = dataclasses.replace(RECIPE, loss="smooth-l1")
    found = mask_losses(torch.from_numpy(logits), torch.from_numpy(target), smooth).numpy()
    assert np.allclose(found, 0.5 * (masks - target) ** 2)  # Eq. 7, below 1


def test_recipes_say_what_the_paper_and_the_code_do(tmp_path):
    assert (PAPER.batch_size, PAPER.learning_rate, PAPER.iterations) == (16, 1e-5, 500_000)
    assert (PAPER.stage_patience, PAPER.halving_patience, PAPER.reduction) == (10_000, 25_000, "sum")
    assert (PUBLISHED_CODE.batch_size, PUBLISHED_CODE.learning_rate) == (32, 1e-4)
    assert (PUBLISHED_CODE.weight_decay, PUBLISHED_CODE.positive_weight) == (5e-4, 5.0)
    path = tmp_path / "r.toml"
    path.write_text('recipe = "published-code"\nbatch_size = 2\n[network]\nmask = "binary"\n')
    recipe = load_recipe(path)
    assert (recipe.batch_size, recipe.positive_weight, recipe.network.mask) == (2, 5.0, "binary")


@pytest.mark.parametrize(
    ("name", "channels"), [("cunet-film", 12), ("cunet-multiply", 12), ("cunet-rows", 4)]
)
def test_shipped_recipes_can_be_read(name, channels):
    assert load_recipe(RECIPES / f"{name}.toml").network.first_channels == channels


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("batchsize = 2", "unknown keys batchsize"),
        ('recipe = "mine"', "recipes are paper, published-code"),
        ('loss = "l7"', "bce, smooth-l1"),
        ("first_stage = 9", "between fewest_sources 2 and most_sources 7"),
        ('[network]\ncontext = "frame"\n[mix]\nmost_sources = 9', "can see 7 players"),
        ("x = ", "cannot read"),
    ],
)
def test_recipes_that_cannot_be_are_told(tmp_path, text, complaint):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_recipe(path)


def test_the_command_trains_and_logs(solos, tmp_path, capsys):
    path = tmp_path / "r.toml"
    path.write_text(
        "iterations = 1\nbatch_size = 1\nvalidation_examples = 1\nvalidation_share = 0.5\nfirst_stage = 2\n"
        '[network]\nfirst_channels = 1\ninstruments = ["cello", "flute", "tuba"]\n'
    )
    run = tmp_path / "run"
    command = ["train", "cunet", "--config", str(path), "--data", str(solos), "--out", str(run)]
    assert main([*command, "--tensorboard"]) == 0
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"training/loss", "validation/si_sdr_db"} <= set(events.Tags()["scalars"])
    assert '"si_sdr_db"' in capsys.readouterr().out
    assert len((run / "log.jsonl").read_text().splitlines()) == 1
    assert load_checkpoint(run / "best.safetensors")[0].sources == CLASSES
