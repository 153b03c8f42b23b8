"""The shipped starter network is the one its card describes, and does not get worse unnoticed."""

import pytest
import torch

from research.tests.helpers.real_excerpt import figures_of, real_excerpt
from ugosa_research.training.measure import as_returned
from ugosa_research.training.validation import sdr_db
from ugosa_server.files import sha256_of_file
from ugosa_server.models.checkpoints import load_checkpoint
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.registry import STARTER_DIR, read_model_info

STARTER = STARTER_DIR / "starter.safetensors"
MODEL_CARD = STARTER_DIR / "MODEL_CARD.md"
MOST_BYTES = 12_000_000
TOLERANCE_DB = 0.2


def test_the_card_pins_the_file():
    digest = sha256_of_file(STARTER)
    assert digest in MODEL_CARD.read_text()
    assert STARTER.with_suffix(".sha256").read_text().split() == [digest, STARTER.name]


def test_the_file_is_small_and_says_what_it_is():
    assert STARTER.stat().st_size < MOST_BYTES
    model = read_model_info(STARTER)
    assert model.sources == ("drums", "bass", "other", "vocals")
    assert model.config.repeats == 4  # so that the depths L1 to L5 keep their meaning
    assert model.description


def test_the_weights_keep_their_figure_on_the_real_excerpt(tmp_path):
    stems = real_excerpt(tmp_path)
    config, state = load_checkpoint(STARTER)
    network = ConvTasNet(config).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        estimates = network(stems.sum(dim=0)[None])[0]
    figures = sdr_db(stems, estimates).tolist()
    assert figures == pytest.approx(figures_of(MODEL_CARD, "real excerpt"), abs=TOLERANCE_DB)
    exponent = read_model_info(STARTER).separation_defaults["wiener_exponent"]
    returned = as_returned(estimates, stems.sum(dim=0), config, exponent)
    figures = sdr_db(stems, returned).tolist()
    assert figures == pytest.approx(figures_of(MODEL_CARD, "real, as returned"), abs=TOLERANCE_DB)
