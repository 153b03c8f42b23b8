"""Every network of the paper's Tables 1 to 3 has its size, can be built, and learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from research.tests.helpers.tiny_solos import CLASSES, save_tiny_solos
from ugosa_research.cunet.experiments import EXPERIMENTS, network_of
from ugosa_research.cunet.feature_files import read_feature_file
from ugosa_research.training.cunet.mixing import mixed_batch
from ugosa_research.training.cunet.recipe import CunetRecipe, MixOptions
from ugosa_research.training.cunet.run import run_cunet_training
from ugosa_research.training.cunet.solos import read_solos
from ugosa_research.training.cunet.steps import CunetTraining
from ugosa_server.errors import ConfigError
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.cunet.config import INSTRUMENTS, ConditionedUNetConfig
from ugosa_server.models.cunet.network import ConditionedUNet
from ugosa_server.video.features import write_feature_file

UNET, MHU_NET = 5_154_719, 33_450_527  # parameters in use of the published networks
BOTTLENECK, ENCODER, FINAL = 14_336, 13_888, 364  # of FiLM on labels
BIAS = {"mhu-net": 16 + 32 + 64 + 128 + 256 + 512 + 13 * (256 + 128 + 64 + 32 + 16 + 1)}
LSTM = 4 * 1024 * (2048 + 1024 + 2)


def film(context, channels):
    return (context + 1) * 2 * channels


PARAMETERS = {
    "1": UNET,
    "2": UNET,
    "3": MHU_NET + BOTTLENECK,
    "4": MHU_NET + BOTTLENECK,
    "5": MHU_NET + BOTTLENECK + BIAS["mhu-net"],
    "6": MHU_NET + BOTTLENECK + BIAS["mhu-net"],
    "7": MHU_NET + BOTTLENECK,
    "8": MHU_NET + BIAS["mhu-net"],
    "9": UNET + BOTTLENECK,
    "10": UNET + ENCODER,
    "11": UNET + FINAL,
    "12": UNET,
    "13": UNET + ENCODER,
    "14": UNET + BOTTLENECK,
    "15": UNET + FINAL,
    "16": UNET,
    "encoder-1": UNET + sum(film(7 * 2048, channels) for channels in (16, 32, 64, 128, 256)),
    "bottleneck-1": UNET + film(7 * 2048, 512),
    "bottleneck-1-ft": UNET + film(7 * 2048, 512) + 2048 * 2049,
    "bottleneck-15": UNET + film(7 * 1024, 512) + LSTM,
    "bottleneck-50": UNET + film(7 * 1024, 512) + LSTM,
    "final-1": UNET + film(7 * 2048, 13),
}
RECIPE = CunetRecipe(
    network=ConditionedUNetConfig(instruments=CLASSES, first_channels=3, dropout=0.0),
    mix=MixOptions(most_sources=3, clip=False, mix_rms=0.1),
    batch_size=1,
    iterations=2,
    learning_rate=5e-3,
    reduction="mean",
    crop_frames=64,
    visual_rate_share=0.01,
    validate_every=2,
    validation_examples=1,
    validation_share=0.5,
)
SEEN = [name for name, experiment in EXPERIMENTS.items() if experiment.network.video]


@pytest.fixture(scope="module")
def solos(tmp_path_factory):
    """Beside every recording drawn features of its player: 12 rows, another half of them for each class."""
    root = save_tiny_solos(tmp_path_factory.mktemp("solos"), takes=4)
    rng = np.random.default_rng(0)
    looks = {folder.name: rng.random(2048) < 0.5 for folder in sorted((root / "wav11k").iterdir())}
    for path in sorted(root.glob("wav11k/*/*.wav")):
        times_s = np.linspace(0, 6.9, 12)
        vectors = looks[path.parent.name] * rng.random((12, 2048)).astype(np.float32)
        write_feature_file(path.with_suffix(".npz"), [0] * 12, times_s, list(vectors))
    return root


def test_every_row_has_a_size():
    assert set(PARAMETERS) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_network_of_every_row_has_the_papers_size(name):
    config = EXPERIMENTS[name].network
    assert (config.instruments, config.first_channels) == (INSTRUMENTS, 16)
    with torch.device("meta"):
        network = ConditionedUNet(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_small_network_of_every_row_learns_a_batch(name, solos):
    torch.set_num_threads(1)
    recipe = RECIPE.for_experiment(name)
    state = CunetTraining(recipe)
    batch = mixed_batch(read_solos(solos, CLASSES), recipe.mix, 1, 3, (1,), recipe.seen_shape)
    heard = state.network.eval()
    before = {key: value.clone() for key, value in heard.state_dict().items()}
    state.recipe = replace(recipe, crop_frames=0)  # the same frames every time
    losses = [float(state.step(batch)) for _ in range(4)]
    assert min(losses[2:]) < 0.95 * losses[0]
    moved = {key for key, value in state.network.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {key for key, _ in state.network.named_parameters()}


def test_the_loss_and_the_curriculum_are_the_rows():
    assert RECIPE.for_experiment("4").loss == "smooth-l1"
    assert RECIPE.for_experiment("14").loss == "bce"
    assert (RECIPE.for_experiment("5").first_stage, RECIPE.for_experiment("8").first_stage) == (2, 3)
    assert RECIPE.for_experiment("16").network == network_of("16", RECIPE.network)
    assert RECIPE.for_experiment("16").network.instruments == CLASSES
    with pytest.raises(ConfigError, match="no experiment 17; known are 1, 2"):
        RECIPE.for_experiment("17")


@pytest.mark.parametrize("name", ["bottleneck-1-ft", "bottleneck-15"])
def test_players_have_own_slots_at_the_time_of_their_window(name, solos):
    recordings = read_solos(solos, CLASSES)
    recipe = RECIPE.for_experiment(name)
    batch = mixed_batch(recordings, recipe.mix, 6, 3, (4,), recipe.seen_shape)
    slots = batch.seen.reshape(6, 7, -1).any(axis=-1)
    assert np.array_equal(slots.sum(axis=1), batch.labels.sum(axis=1))
    assert len({tuple(row) for row in slots}) > 1  # no slot means an instrument
    frames = recipe.network.context_frames
    kept = [
        {vector.tobytes() for seen in read_feature_file(path, 11025) for vector in [seen.vector(2048)]}
        for path in sorted(solos.glob("wav11k/*/*.npz"))
    ]
    for vectors in batch.seen.reshape(6 * 7, frames, 2048):
        if vectors.any():
            assert any({vector.tobytes() for vector in vectors} <= own for own in kept)


def test_a_network_that_sees_trains_and_resumes_like_any_other(solos, tmp_path):
    recipe = RECIPE.for_experiment("bottleneck-1-ft")
    (*_, last) = run_cunet_training(recipe, solos, tmp_path)
    assert last.validation is not None
    config, state = load_checkpoint(tmp_path / "last.safetensors")
    assert config == recipe.network
    assert not torch.equal(state["visual_head.weight"], torch.eye(2048))
    (*_, more) = run_cunet_training(replace(recipe, iterations=3), solos, tmp_path)
    assert more.iteration == 3


def test_recordings_that_nobody_saw_are_told(tmp_path):
    root = save_tiny_solos(tmp_path / "solos", takes=4)
    with pytest.raises(ConfigError, match=r"no .npz of video features beside them: \d+, such as .*take\d-1"):
        list(run_cunet_training(RECIPE.for_experiment(SEEN[0]), root, tmp_path / "run"))


def test_more_sources_than_players_who_can_be_seen_are_refused():
    with pytest.raises(ConfigError, match="most_sources is 8, but the network can see 7 players"):
        replace(RECIPE.for_experiment(SEEN[0]), mix=MixOptions(most_sources=8))
