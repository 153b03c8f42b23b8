"""A band is its two stages in a row, whole and in parts, and marks act on all of its stems."""

import dataclasses

import pytest
import torch

from tests.helpers.plain_spleeter import TINY_FILTERS
from tests.helpers.tiny_band import SHARES, TINY_SECOND, tiny_band
from ugosa_server.adaptation.loop import adaptation_of
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.errors import BadOptionError
from ugosa_server.models.band.config import BandConfig
from ugosa_server.models.checkpoint_header import read_header
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.config import ALL_DEPTHS, Depth, depths_of
from ugosa_server.models.conv_tasnet.network import ConvTasNet
from ugosa_server.models.spleeter.config import SpleeterConfig

SOURCES = ("drums", "bass", "other", "vocals")
FIRST = SpleeterConfig(("vocals", "accompaniment"), filters=TINY_FILTERS)


def noise(n_samples, batch=1, seed=0):
    return torch.randn(batch, 2, n_samples, generator=torch.Generator().manual_seed(seed))


def close(ours, expected, tolerance=2e-5):
    return (ours - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("looks", [(4096,), (4096, 3840, 4608)])
def test_stems_are_the_mean_of_both_second_stages(looks):
    band = tiny_band()
    mix = noise(20_000, batch=2)
    _, features = band.first.stems_and_features(mix)
    vocals = sum(band.first.stems_and_features(mix, samples)[0][:, 0] for samples in looks) / len(looks)
    second = ConvTasNet(band.config.second)
    second.load_state_dict(band.second.state_dict())
    drums, bass, other, ghost = second.plain_forward(mix - vocals).unbind(dim=1)
    by_second = torch.stack([drums, bass, other], dim=1) + ghost[:, None] / 3
    masks = band.decoder.masks(features)[..., : 20_000 // 1024 + 1, :]
    above = masks[..., 768:].mean(dim=-1, keepdim=True).expand(*masks.shape[:-1], 1025)
    spectrum = band.first.spectrum(mix - vocals)[:, None]
    by_decoder = band.first.waveform(torch.cat([masks, above], dim=-1) * spectrum, 20_000)
    assert band.config.sources == SOURCES
    assert close(by_decoder.sum(dim=1), mix - vocals)
    assert not close(by_decoder[:, 0], by_decoder[:, 1], 0.1)
    share = torch.tensor(SHARES)[:, None, None]
    others = (1 - share) * by_second + share * by_decoder
    stems = band(mix) if len(looks) == 1 else band.separate(mix)
    assert close(stems, torch.cat([others, vocals[:, None]], dim=1))


def test_every_depth_splits_the_band():
    band = tiny_band()
    mix = noise(20_000, batch=2)
    whole = band(mix)
    depths = depths_of(band.config)
    assert len(depths) == len(ALL_DEPTHS)
    for depth in depths:
        parts = [band.frozen_part(example[None], depth) for example in mix]
        frozen = [torch.cat(features) for features in zip(*parts, strict=True)]
        assert close(band.trained_part(mix, frozen, depth), whole), depth


@pytest.mark.parametrize("depth", depths_of(tiny_band().config), ids=str)
def test_what_is_kept_of_a_mix_depends_on_nothing_trained(depth):
    band = tiny_band()
    mix = noise(20_000)
    with adaptation_of(band, parse_strategy(f"P-{depth}")) as trained, torch.no_grad():
        before = band.frozen_part(mix, depth)
        for parameter in trained.values():
            parameter.mul_(1.5)
        after = band.frozen_part(mix, depth)
    assert all(torch.equal(kept, now) for kept, now in zip(before, after, strict=True))


def test_parts_give_the_gradients_of_the_whole():
    band = tiny_band()
    mix = noise(20_000)
    for depth in (Depth(1, "D"), Depth(3, "D"), Depth(4, "M")):
        gradients = []
        for in_parts in (True, False):
            with adaptation_of(band, parse_strategy(f"P-{depth}")) as trained:
                if in_parts:
                    with torch.no_grad():
                        frozen = band.frozen_part(mix, depth)
                    stems = band.trained_part(mix, frozen, depth)
                else:
                    stems = band(mix)
                stems.square().mean(dim=(0, 2, 3)).dot(torch.arange(4.0)).backward()
                gradients.append({name: p.grad.clone() for name, p in trained.items()})
        for name, gradient in gradients[1].items():
            assert close(gradients[0][name], gradient, 1e-3), name


def test_depths_act_on_both_second_stages():
    band = tiny_band()
    for depth in ALL_DEPTHS:
        expected = [f"second.{name}" for name in band.second.trained_parameters(depth)]
        trained = band.trained_parameters(depth)
        assert [name for name in trained if name.startswith("second.")] == expected
        first = {name for name in trained if name.startswith("first.")}
        assert all(name.startswith("first.unets.0.") for name in first)
        assert bool(first) == (depth.level == 1)
        decoder = [name for name in trained if name.startswith("decoder.")]
        assert ("decoder.head.weight" in decoder) == (depth.end == "D")
        assert ("decoder.up.4.weight" in decoder) == (depth.level <= 3 and depth.end != "3")
        assert ("decoder.up.0.weight" in decoder) == (depth.level == 1)


def test_the_deepest_level_learns_from_marks_of_the_vocals():
    band = tiny_band()
    mix = noise(20_000)
    with adaptation_of(band, parse_strategy("P-L1:D")) as trained:
        band(mix)[:, SOURCES.index("vocals")].square().mean().backward()
        reached = {name for name, p in trained.items() if p.grad is not None and p.grad.abs().max() > 0}
    assert {name for name in trained if name.startswith("first.unets.0.up")} <= reached


def test_a_band_is_written_with_its_sizes(tmp_path):
    band = tiny_band()
    save_checkpoint(tmp_path / "band.safetensors", band.state_dict(), band.config)
    header = read_header(tmp_path / "band.safetensors")
    assert header.config == band.config
    assert header.parameter_counts == {name: parameter.numel() for name, parameter in band.named_parameters()}


def test_shares_of_the_work_grow_with_the_depth():
    config = BandConfig(SpleeterConfig(FIRST.sources), TINY_SECOND, SHARES)
    shares = [config.trained_share(Depth(level, "D")) for level in (1, 2, 3)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"sources": ("accompaniment", "vocals")}, {}, "first stage must give vocals and what is left"),
        ({"sources": ("vocals", "drums", "rest")}, {}, "first stage must give vocals and what is left"),
        ({"high_band": "zero"}, {}, "must leave nothing out"),
        ({}, {"sources": ("drums", "bass")}, "must have vocals among its sources, not drums, bass"),
        ({}, {"sample_rate_hz": 8000}, "44100 and 2, 8000 and 2"),
    ],
)
def test_stages_that_do_not_fit_are_refused(first, second, words):
    with pytest.raises(BadOptionError, match=words):
        BandConfig(dataclasses.replace(FIRST, **first), dataclasses.replace(TINY_SECOND, **second), SHARES)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_of_all_or_nothing_is_refused(share):
    with pytest.raises(BadOptionError, match="decoder_shares must be above 0 and below 1"):
        BandConfig(FIRST, TINY_SECOND, (0.5, share, 0.5))


def test_every_source_but_the_vocals_has_a_share():
    with pytest.raises(BadOptionError, match="must be 3 numbers, one for every source but the vocals, not 2"):
        BandConfig(FIRST, TINY_SECOND, (0.5, 0.5))
