"""Options left open come from the model, unless the preset is one that leaves the model's out."""

import json
from dataclasses import replace

import pytest

from tests.helpers.tiny_cunet import write_tiny_cunet
from tests.helpers.tiny_network import TINY, tiny_network
from ugosa_server.errors import BadOptionError
from ugosa_server.jobs.options import JobOptionsRequest, resolve_job_options
from ugosa_server.marks.players import PlayerPicture, VideoSource, VisualFrame
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.registry import read_model_info


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.safetensors"
    words = {"separation": json.dumps({"wiener_exponent": 1.0, "overlap": 0.5})}
    save_checkpoint(path, tiny_network().state_dict(), TINY, words)
    return read_model_info(path)


def test_separation_comes_from_request_then_model_then_paper(model):
    separation = resolve_job_options(JobOptionsRequest(), model).separation
    assert (separation.wiener_exponent, separation.overlap, separation.shifts) == (1.0, 0.5, 0)
    separation = resolve_job_options(JobOptionsRequest(separation={"wiener_exponent": 0.0}), model).separation
    assert (separation.wiener_exponent, separation.overlap) == (0.0, 0.5)


@pytest.mark.parametrize(("preset", "exponent"), [("film-only", 1.0), ("paper", 0.0), ("authors-code", 0.0)])
def test_presets_of_published_systems_ignore_the_models_options(model, preset, exponent):
    assert resolve_job_options(JobOptionsRequest(preset=preset), model).separation.wiener_exponent == exponent


@pytest.mark.parametrize("exponent", [-0.1, 2.1, float("nan")])
def test_an_exponent_out_of_range_is_named(model, exponent):
    request = JobOptionsRequest(separation={"wiener_exponent": exponent})
    with pytest.raises(BadOptionError, match=r"wiener_exponent is .* at least 0 and at most 2"):
        resolve_job_options(request, model)


def test_an_option_of_a_model_that_does_not_exist_is_named(model):
    model = replace(model, separation_defaults={"winer": 1.0})
    with pytest.raises(BadOptionError, match="the model tiny states separation options winer"):
        resolve_job_options(JobOptionsRequest(), model)


def test_hard_masks_are_for_networks_of_masks(model, tmp_path):
    hard = JobOptionsRequest(separation={"mask_kind": "hard"})
    masks = read_model_info(write_tiny_cunet(tmp_path / "cunet.safetensors"))
    assert resolve_job_options(hard, masks).separation.mask_kind == "hard"
    assert resolve_job_options(JobOptionsRequest(), masks).separation.mask_kind == "soft"
    with pytest.raises(BadOptionError, match="gives waveforms and has no masks; leave it out, or name"):
        resolve_job_options(hard, model)
    with pytest.raises(BadOptionError, match="mask_kind is 'half', but must be soft, hard, shared"):
        resolve_job_options(JobOptionsRequest(separation={"mask_kind": "half"}), masks)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("visual_frames", (VisualFrame(0, 0, b"\0\0"),)),
        ("pictures", (PlayerPicture(0, 0, b""),)),
        ("video", VideoSource("upload-1")),
    ],
)
def test_players_are_shown_only_to_a_model_that_sees(model, option, value):
    with pytest.raises(BadOptionError, match=f"'tiny' is not conditioned on video; leave {option} out"):
        resolve_job_options(JobOptionsRequest(**{option: value}), model)


def test_players_are_shown_in_one_way(model):
    several = JobOptionsRequest(visual_frames=(VisualFrame(0, 0, b""),), video=VideoSource("upload-1"))
    with pytest.raises(BadOptionError, match="one of visual_frames, pictures and video, not several"):
        resolve_job_options(several, model)
