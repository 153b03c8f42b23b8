"""The fast Spleeter is the plain one, whole and in parts, and its stems add up to the mix."""

import pytest
import torch

from tests.helpers.plain_spleeter import plain_masks, plain_twin, tiny_spleeter
from ugosa_server.adaptation.loop import adaptation_of
from ugosa_server.adaptation.strategies import parse_strategy
from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import ALL_DEPTHS, Depth, depths_of
from ugosa_server.models.spleeter.config import SpleeterConfig
from ugosa_server.models.spleeter.network import SpleeterNetwork

KINDS = {
    "two stems": {},
    "zero above": {"high_band": "zero"},
    "four stems": {"sources": ("vocals", "drums", "bass", "other"), "activation": "elu"},
    "five stems": {
        "sources": ("vocals", "piano", "drums", "bass", "other"),
        "activation": "elu",
        "mask_function": "softmax",
    },
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def noise(n_samples, batch=1, seed=0):
    return torch.randn(batch, 2, n_samples, generator=torch.Generator().manual_seed(seed))


def close(ours, plain):
    return (ours - plain).abs().max() <= 2e-5 * plain.abs().max()


@kinds
def test_stems_are_those_of_the_plain_network(kind):
    network = tiny_spleeter(**kind)
    mix = noise(30_000, batch=2)
    with torch.inference_mode():
        plain = plain_twin(network)(mix)
        assert close(network(mix), plain)
    assert close(network(mix), plain)  # with gradients enabled it takes other ways to the same numbers


@kinds
def test_gradients_are_those_of_the_plain_network(kind):
    network = tiny_spleeter(**kind)
    mix = noise(20_000)
    gradients = []
    for variant in (network, plain_twin(network)):
        variant.requires_grad_(True)
        (variant(mix) * noise(20_000, seed=1).unsqueeze(1)).mean().backward()
        gradients.append({name: p.grad for name, p in variant.named_parameters()})
    ours, plain = gradients
    for name in plain:
        assert (ours[name] - plain[name]).abs().max() <= 1e-4 * plain[name].abs().max() + 1e-9, name


@pytest.mark.parametrize("n_samples", [1, 1023, 4096, 65_000])
def test_stems_add_up_to_a_mix_of_any_length(n_samples):
    for kind in ("two stems", "five stems"):
        network = tiny_spleeter(**KINDS[kind])
        mix = noise(n_samples)
        stems = network(mix)
        assert stems.shape == (1, len(network.config.sources), 2, n_samples)
        assert (stems.sum(dim=1) - mix).abs().max() <= 1e-6


def test_masks_share_every_bin_above_as_below():
    network = tiny_spleeter(**KINDS["four stems"])
    masks = plain_masks(network, noise(20_000))
    torch.testing.assert_close(masks.sum(dim=1), torch.ones_like(masks[:, 0]))
    assert masks[..., 1024:, :].std(dim=3).max() < 1e-6


def test_zero_leaves_out_what_lies_above():
    network = tiny_spleeter(high_band="zero")
    mix = noise(40_960)
    missing = torch.fft.rfft((mix - network(mix).sum(dim=1))[..., 4096:-4096])
    hz = torch.linspace(0, 22_050, missing.shape[-1])
    assert missing[..., hz < 10_500].abs().max() < 0.02 * missing[..., hz > 11_500].abs().mean()


def test_masks_depend_on_the_level_that_the_config_says():
    loud, quiet = tiny_spleeter(song_std=1.0), tiny_spleeter(song_std=0.1)
    mix = noise(20_000)
    assert close(10 * loud(mix / 10), quiet(mix))
    assert not close(loud(mix), quiet(mix))


@kinds
def test_every_depth_splits_the_network(kind):
    network = tiny_spleeter(**kind)
    mix = noise(30_000, batch=2)
    whole = network(mix)
    for depth in depths_of(network.config):
        parts = [network.frozen_part(example[None], depth) for example in mix]
        frozen = [torch.cat(features) for features in zip(*parts, strict=True)]
        assert close(network.trained_part(mix, frozen, depth), whole), depth


def test_the_parts_give_the_gradients_of_the_plain_network():
    network = tiny_spleeter()
    plain = plain_twin(network)
    mix = noise(20_000)
    for depth in depths_of(network.config):
        gradients = []
        for variant in (network, plain):
            with adaptation_of(variant, parse_strategy(f"P-{depth}")) as trained:
                with torch.no_grad():
                    frozen = variant.frozen_part(mix, depth)
                stems = variant.trained_part(mix, frozen, depth)
                stems[:, 0].square().mean().backward()
                gradients.append({name: p.grad.clone() for name, p in trained.items()})
        for name, ours in gradients[0].items():
            plain_gradient = gradients[1][name]
            assert (ours - plain_gradient).abs().max() <= 1e-4 * plain_gradient.abs().max() + 1e-9, name


def test_kept_features_of_a_second_are_small():
    published = SpleeterConfig(("vocals", "accompaniment"))
    tiny = tiny_spleeter()
    share = published.filters[0] / tiny.config.filters[0]  # the largest features are the first skip's
    mix = noise(44_100 * 3)  # 130 frames, rounded up to 192
    for depth in depths_of(tiny.config):
        per_second = sum(features.nbytes for features in tiny.frozen_part(mix, depth)) / 3 * share
        assert per_second < 6e6, depth


def test_training_mode_leaves_the_statistics_of_norms_alone():
    network = tiny_spleeter()
    mix = noise(20_000)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    stems = network(mix)
    torch.testing.assert_close(network.train()(mix), stems)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)


@kinds
def test_depths_train_parts_of_the_decoders(kind):
    network = tiny_spleeter(**kind)
    names = [name for name, _ in network.named_parameters()]
    assert [str(d) for d in ALL_DEPTHS if d not in depths_of(network.config)] == ["L4:3"]
    assert list(network.trained_parameters(Depth(5, "D"))) == [n for n in names if ".mask." in n]
    decoder = [name for name in names if ".down" not in name]
    assert list(network.trained_parameters(Depth(1, "D"))) == decoder
    last_up = [name for name in decoder if ".up.5." in name or ".up_norm.5." in name]
    assert list(network.trained_parameters(Depth(4, "M"))) == last_up


def test_the_published_sizes_are_those_of_the_paper():
    config = SpleeterConfig(("vocals", "accompaniment"))
    with torch.device("meta"):
        state = SpleeterNetwork(config).state_dict()
    unused_norm = 4 * 512
    assert sum(tensor.numel() for tensor in state.values()) + 2 * unused_norm == 2 * 9_826_759
    shares = [config.trained_share(Depth(level, "D")) for level in (1, 2, 3, 4, 5)]
    assert shares == sorted(shares, reverse=True)
    assert 0.6 < shares[0] < 0.7
    assert 0 < shares[-1] < 0.01


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"sources": ("vocals",)}, "at least two distinct sources"),
        ({"sources": ("a", "a")}, "at least two distinct sources"),
        ({"activation": "tanh"}, "activation must be leaky_relu or elu, got 'tanh'"),
        ({"high_band": "mean"}, "high_band must be average or zero"),
        ({"song_std": 0.0}, "song_std must be above 0, got 0"),
        ({"filters": (1, 2)}, "filters must be 6 numbers"),
    ],
)
def test_sizes_that_cannot_work_are_refused(sizes, words):
    with pytest.raises(BadOptionError, match=words):
        SpleeterConfig(**({"sources": ("a", "b")} | sizes))
