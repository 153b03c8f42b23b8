"""The shipped decoder of `band` is the one that its card describes, and does not get worse unnoticed."""

import pytest
import torch
from safetensors.torch import load_file

from research.tests.helpers.real_excerpt import EDGE_SAMPLES, figures_of, real_excerpt
from tests.helpers.real_spleeter import PATH, needs_spleeter
from ugosa_research.training.band_decoder import untrained_band
from ugosa_research.training.measure import as_returned
from ugosa_research.training.validation import sdr_db, separated
from ugosa_server.files import sha256_of_file
from ugosa_server.models.collection import BAND_SEPARATION
from ugosa_server.models.registry import BAND_DIR

DECODER = BAND_DIR / "decoder.safetensors"
MODEL_CARD = BAND_DIR / "MODEL_CARD.md"
MOST_BYTES = 12_000_000
TOLERANCE_DB = 0.2


def test_the_card_pins_the_file():
    digest = sha256_of_file(DECODER)
    assert digest in MODEL_CARD.read_text()
    assert DECODER.with_suffix(".sha256").read_text().split() == [digest, DECODER.name]
    assert DECODER.stat().st_size < MOST_BYTES


@needs_spleeter
def test_the_weights_keep_their_figure_on_the_real_excerpt(tmp_path):
    stems = real_excerpt(tmp_path)[..., EDGE_SAMPLES:-EDGE_SAMPLES]
    mix = stems.sum(dim=0)
    band = untrained_band(PATH)
    band.decoder.load_state_dict(load_file(DECODER))
    with torch.inference_mode():
        estimates = separated(band, mix)
    figures = sdr_db(stems, estimates).tolist()
    assert figures == pytest.approx(figures_of(MODEL_CARD, "band, network alone"), abs=TOLERANCE_DB)
    returned = as_returned(estimates, mix, band.config, BAND_SEPARATION["wiener_exponent"])
    figures = sdr_db(stems, returned).tolist()
    assert figures == pytest.approx(figures_of(MODEL_CARD, "band, as returned"), abs=TOLERANCE_DB)
