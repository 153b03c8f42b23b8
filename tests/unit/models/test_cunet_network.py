"""The network has the paper's sizes in every cell of the grid, and conditioning does what it says."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.tiny_cunet import bins_of
from ugosa_server.errors import BadOptionError
from ugosa_server.models.checkpoints import load_checkpoint, save_checkpoint
from ugosa_server.models.config import Depth, depths_of
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import spectrum
from ugosa_server.models.cunet.network import ConditionedUNet
from ugosa_server.models.network import build_network

PLAIN = ConditionedUNetConfig(conditioning="none")
TINY = ConditionedUNetConfig(instruments=("cello", "flute", "violin"), first_channels=2)
EVERY_CONDITIONING = ("none", "film-bottleneck", "film-encoder", "film-final", "label-multiply")
VISUAL = (
    replace(TINY, context="frame"),
    replace(TINY, context="frames", context_frames=3),
    replace(TINY, context="frames", context_frames=2, conditioning="film-final"),
    replace(TINY, context="frame", visual_fine_tuning=True),
    replace(TINY, context="frames", context_frames=2, visual_fine_tuning=True),
)


def count(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in ConditionedUNet(config).parameters())


def built(config, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ConditionedUNet(config).eval()
        for name, buffer in network.named_buffers():
            if "running_var" in name:
                buffer.uniform_(0.5, 1.5)
    return network


def context_of(config, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *config.context_shape)
    if config.context == "labels":
        return torch.randint(0, 2, shape, generator=generator).float()
    return torch.rand(shape, generator=generator)


def test_parameter_counts_are_the_published_ones():
    assert count(PLAIN) == 5_154_719
    assert count(replace(PLAIN, decoder="mhu-net")) == 33_450_527
    assert count(replace(PLAIN, conditioning="film-bottleneck")) - count(PLAIN) == 14_336
    assert count(replace(PLAIN, conditioning="film-encoder")) - count(PLAIN) == 13_888
    assert count(replace(PLAIN, conditioning="film-final")) - count(PLAIN) == 364
    assert count(replace(PLAIN, conditioning="label-multiply")) == count(PLAIN)


@pytest.mark.parametrize(
    "config",
    [
        *(replace(TINY, conditioning=name) for name in EVERY_CONDITIONING),
        replace(TINY, decoder="mhu-net", bias=True, frequency_scale="linear"),
        *VISUAL,
    ],
)
def test_the_network_is_what_its_sizes_say(config):
    network = build_network(config)
    values = torch.rand(2, 1, bins_of(config), 64)
    logits = network.eval().mask_logits(values, context_of(config, batch=2))
    assert logits.shape == (2, 3, bins_of(config), 64)
    assert logits.isfinite().all()


@pytest.mark.parametrize("conditioning", ["film-bottleneck", "film-encoder", "film-final"])
def test_film_at_identity_is_identity(conditioning):
    network = built(replace(TINY, conditioning=conditioning))
    plain = ConditionedUNet(replace(TINY, conditioning="none")).eval()
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("film.")}
    plain.load_state_dict(state)
    values = torch.rand(1, 1, 256, 64)
    changed = network.mask_logits(values, torch.ones(1, 3))
    for generator in network.film:
        torch.nn.init.zeros_(generator.weight)
        torch.nn.init.zeros_(generator.bias)
    assert torch.equal(network.mask_logits(values, torch.ones(1, 3)), plain.mask_logits(values))
    assert not torch.equal(changed, plain.mask_logits(values))  # as it starts it does modulate


@pytest.mark.parametrize("decoder", ["unet", "mhu-net"])
def test_label_multiply_silences_absent_stems_exactly(decoder):
    network = built(replace(TINY, conditioning="label-multiply", decoder=decoder))
    mix = torch.randn(1, 1, 16384)
    activity = torch.ones(1, 3, 16384)
    activity[:, 1] = 0
    stems = network(mix, activity)
    assert (stems[:, 1] == 0).all()
    everyone = network(mix)
    assert torch.equal(stems[:, [0, 2]], everyone[:, [0, 2]])
    assert everyone[:, 1].abs().max() > 1e-3


def test_an_absent_label_costs_nothing_and_pulls_nowhere():
    network = built(replace(TINY, conditioning="label-multiply"))
    logits = network.mask_logits(torch.rand(1, 1, 256, 64), torch.tensor([[1.0, 0.0, 1.0]]))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1], torch.zeros(1, 256, 64))
    assert loss == 0.0
    loss.backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in network.parameters())


@pytest.mark.parametrize("n_samples", [1, 255, 256, 5000, 65535])
def test_stems_have_the_length_of_the_mix(n_samples):
    stems = built(TINY)(torch.randn(2, 1, n_samples))
    assert stems.shape == (2, 3, 1, n_samples)
    assert stems.isfinite().all()


def test_masks_of_nothing_but_ones_give_the_mix_back():
    network = built(replace(TINY, conditioning="none"))
    for decoder in network.decoders:
        torch.nn.init.zeros_(decoder[-1].norm.weight)
        torch.nn.init.constant_(decoder[-1].norm.bias, 30.0)  # sigma(30) is 1 in float32
    mix = torch.randn(1, 1, 10000)
    torch.testing.assert_close(network(mix)[0, 2], mix[0], atol=1e-5, rtol=0)


def test_rectified_logits_make_masks_that_reach_down_to_nothing():
    network = built(replace(TINY, rectified_logits=True, mask="binary"))
    frames = spectrum(torch.randn(1, 16384))
    masks = network.masks(frames, torch.ones(1, 3))
    assert (masks == 0).any()
    assert masks.max() < 1
    hard = network.masks(frames, torch.ones(1, 3), kind="hard")
    assert ((hard > 0) == (masks > 0)).all()


def test_absent_player_adds_nothing_to_the_motion_context():
    config = replace(TINY, context="frames", context_frames=3)
    network = built(config)
    seen = context_of(config)
    seen[:, 4] = 0
    values = torch.rand(1, 1, 256, 64)
    before = network.mask_logits(values, seen)
    torch.nn.init.normal_(network.film[0].weight[:, 4 * 1024 : 5 * 1024])
    assert torch.equal(network.mask_logits(values, seen), before)


@pytest.mark.parametrize("frames", [1, 3])
def test_visual_head_is_identity_at_first_and_zero_for_nobody(frames):
    blind = (
        replace(TINY, context="frame") if frames == 1 else replace(TINY, context="frames", context_frames=3)
    )
    frozen, tuned = built(blind), built(replace(blind, visual_fine_tuning=True))
    tuned.load_state_dict(frozen.state_dict(), strict=False)
    seen = context_of(blind)
    seen[:, 4] = 0
    values = torch.rand(1, 1, 256, 64)
    before = frozen.mask_logits(values, seen)
    assert torch.equal(tuned.mask_logits(values, seen), before)
    torch.nn.init.ones_(tuned.visual_head.bias)
    changed = tuned.mask_logits(values, seen)
    assert not torch.equal(changed, before)
    width = tuned.film[0].in_features // 7
    torch.nn.init.normal_(tuned.film[0].weight[:, 4 * width : 5 * width])
    assert torch.equal(tuned.mask_logits(values, seen), changed)  # the empty slot stays empty


def test_noise_is_for_training_only():
    network = built(replace(TINY, input_noise_std=0.5, dropout=0.0))
    values = torch.rand(1, 1, 256, 64)
    labels = torch.ones(1, 3)
    assert torch.equal(network.mask_logits(values, labels), network.mask_logits(values, labels))
    network.train()
    assert not torch.equal(network.mask_logits(values, labels), network.mask_logits(values, labels))


def test_a_context_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\).*3"):
        built(TINY).mask_logits(torch.rand(1, 1, 256, 64), torch.ones(1, 2))
    with pytest.raises(ValueError, match="None"):
        built(TINY).mask_logits(torch.rand(1, 1, 256, 64))


@pytest.mark.parametrize("conditioning", EVERY_CONDITIONING)
def test_depths_train_less_and_less_and_end_with_film(conditioning):
    config = replace(TINY, conditioning=conditioning)
    network = ConditionedUNet(config)
    to_the_end = [len(network.trained_parameters(Depth(level, "D"))) for level in (1, 2, 3, 4)]
    assert to_the_end == sorted(to_the_end, reverse=True)
    shallowest = network.trained_parameters(Depth(5, "D"))
    film = [name for name, _ in network.named_parameters() if name.startswith("film.")]
    assert list(shallowest) == (film or ["decoders.0.5.norm.weight", "decoders.0.5.norm.bias"])
    names = {str(depth) for depth in depths_of(config)}
    assert {"L1:D", "L1:M", "L1:3", "L2:D", "L3:M", "L4:D", "L5:D"} <= names
    assert not names & {"L4:M", "L4:3", "L3:3", "L5:M"}
    assert all(network.trained_parameters(depth) for depth in depths_of(config))


def test_checkpoint_keeps_statistics_at_any_precision(tmp_path):
    network = built(TINY)
    for name, buffer in network.named_buffers():
        if "num_batches" in name:
            buffer.fill_(100_000)  # more than float16 can say
    save_checkpoint(tmp_path / "half.safetensors", network.state_dict(), TINY, dtype=torch.float16)
    config, state = load_checkpoint(tmp_path / "half.safetensors")
    assert config == TINY
    again = build_network(config)
    again.load_state_dict(state)
    assert again.encoder[0].norm.num_batches_tracked == 100_000
    torch.testing.assert_close(again.state_dict(), network.state_dict(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"conditioning": "film"}, "film-bottleneck"),
        ({"instruments": ("violin", "violin")}, "distinct"),
        ({"instruments": ("violin", "residual")}, "residual"),
        ({"conditioning": "label-multiply", "context": "frame"}, "labels"),
        ({"context_frames": 3}, "context_frames"),
        ({"visual_fine_tuning": True}, "video context"),
        ({"visual_fine_tuning": True, "context": "frame", "conditioning": "none"}, "video context"),
        ({"first_channels": 0}, "first_channels"),
    ],
)
def test_choices_that_cannot_work_are_refused(changes, word):
    with pytest.raises(BadOptionError, match=word):
        replace(ConditionedUNetConfig(), **changes)
