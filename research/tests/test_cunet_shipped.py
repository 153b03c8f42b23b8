"""The shipped Conditioned U-Nets are those of their card, beat the mix, and make use of who plays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ugosa_research.evaluation.cunet.experiment import CunetScores, score_pieces
from ugosa_research.evaluation.cunet.systems import ALL_ONES, INPUT_MIX, RIGHT, bounds, network_system
from ugosa_research.evaluation.urmp import find_pieces
from ugosa_server.adaptation.presets import resolve_options
from ugosa_server.files import sha256_of_file
from ugosa_server.jobs.options import JobOptionsRequest, resolve_job_options
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.cunet.config import INSTRUMENTS
from ugosa_server.models.cunet.network import ConditionedUNet
from ugosa_server.models.registry import CUNET_DIR, ModelRegistry

NAMES = ("cunet-film", "cunet-multiply")
PIECES = Path(__file__).parents[2] / "tests" / "data" / "ensembles"  # no training heard them
MODEL_CARD = (CUNET_DIR / "MODEL_CARD.md").read_text(encoding="utf-8")
MOST_BYTES = 6_000_000
GAIN_DB = {"cunet-film": 4.0, "cunet-multiply": 3.0}  # over the mix; both have over 4 here


@pytest.fixture(scope="module")
def figures():
    torch.set_num_threads(1)
    systems = bounds()
    kinds = {"cunet-film": ("soft",), "cunet-multiply": ("soft", "shared")}
    for name in NAMES:
        config, state = load_checkpoint(CUNET_DIR / f"{name}.safetensors")
        network = ConditionedUNet(config)
        network.load_state_dict(state)
        systems += [
            network_system(name, network.eval(), kind=kind, labels=labels)
            for kind in kinds[name]
            for labels in (RIGHT, ALL_ONES)
        ]
    scores = CunetScores(systems)
    for _ in score_pieces(find_pieces(PIECES), systems, INSTRUMENTS, scores, with_bss=False):
        pass
    return {entry.system: entry.figures for entry in scores.figures()}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_pins_the_file_and_the_registry_lists_it(name):
    path = CUNET_DIR / f"{name}.safetensors"
    digest = sha256_of_file(path)
    assert digest in MODEL_CARD
    assert path.with_suffix(".sha256").read_text().split() == [digest, path.name]
    assert path.stat().st_size < MOST_BYTES
    model = ModelRegistry().get(name)
    assert model.architecture == "conditioned_unet"
    assert model.config.sources == INSTRUMENTS
    assert model.description
    assert resolve_options(model_defaults=model.adaptation_defaults).strategy == "B0"  # marks act without


@pytest.mark.parametrize("name", NAMES)
def test_they_beat_the_mix(name, figures):
    ours, mix = figures[f"{name}, soft masks, {RIGHT}"], figures[INPUT_MIX]
    assert ours["SI-SDR"].mean > mix["SI-SDR"].mean + GAIN_DB[name]


def test_right_labels_beat_all_ones_labels_with_film(figures):
    right, all_ones = (figures[f"cunet-film, soft masks, {labels}"] for labels in (RIGHT, ALL_ONES))
    assert right["PES"].mean < all_ones["PES"].mean - 5.0
    assert right["SI-SDR"].mean > all_ones["SI-SDR"].mean + 0.5


def test_right_labels_silence_absent_instruments_exactly(figures):
    right, all_ones = (figures[f"cunet-multiply, soft masks, {labels}"] for labels in (RIGHT, ALL_ONES))
    assert right["PES"].values == 0  # no energy at all where nobody plays
    assert all_ones["PES"].values > 0
    assert np.isclose(right["SI-SDR"].mean, all_ones["SI-SDR"].mean)  # who plays sounds the same


def test_shared_masks_are_the_default_and_beat_soft_ones(figures):
    soft, shared = (figures[f"cunet-multiply, {kind} masks, {RIGHT}"] for kind in ("soft", "shared"))
    assert shared["SI-SDR"].mean > soft["SI-SDR"].mean + 0.3
    all_ones = figures[f"cunet-multiply, shared masks, {ALL_ONES}"]
    assert shared["SI-SDR"].mean > all_ones["SI-SDR"].mean + 0.3
    model = ModelRegistry().get("cunet-multiply")
    assert resolve_job_options(JobOptionsRequest(), model).separation.mask_kind == "shared"
