"""Spleeter as its definition says it, the twin of the fast network: torch's own layers, nothing merged."""

import torch
import torch.nn.functional as F  # noqa: N812

from ugosa_server.models.network import SeparationNetwork
from ugosa_server.models.spleeter.config import SpleeterConfig
from ugosa_server.models.spleeter.network import SpleeterNetwork

TINY_FILTERS = (2, 3, 4, 5, 6, 7)


def tiny_spleeter(sources=("vocals", "accompaniment"), seed=0, **sizes):
    """A network with random weights, norms with scales of both signs and statistics of their own."""
    torch.manual_seed(seed)
    network = SpleeterNetwork(SpleeterConfig(sources, filters=TINY_FILTERS, **sizes))
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if "norm" in name:
            values = torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor)
            tensor.data.copy_(values)
    return network.eval().requires_grad_(False)


def _norm(layer, x):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, eps=1e-3)


def _logits(unet, x):
    """[B, 2, K, F] -> [B, 2, K, F]."""
    elu = unet.activation == "elu"
    skips = []
    for k in range(6):
        x = F.conv2d(F.pad(x, (1, 2, 1, 2)), unet.down[k].weight, unet.down[k].bias, stride=2)
        skips.append(x)
        if k < 5:
            x = _norm(unet.down_norm[k], x)
            x = F.elu(x) if elu else F.leaky_relu(x, 0.2)
    x = skips.pop()
    for k in range(6):
        if k:
            x = torch.cat([skips.pop(), x], dim=1)
        x = F.conv_transpose2d(x, unet.up[k].weight, unet.up[k].bias, stride=2)[..., 1:-2, 1:-2]
        x = _norm(unet.up_norm[k], F.elu(x) if elu else F.relu(x))
    return F.conv2d(x, unet.mask.weight, unet.mask.bias, padding=3, dilation=2)


def plain_masks(network, mix):
    """Masks of all sources on all bins: [B, 2, T] -> [B, S, 2, F, K]."""
    config = network.config
    spectrum = _spectrum(mix)
    n_frames = spectrum.shape[-1]
    seen = F.pad(spectrum[:, :, :1024].abs() * config.song_std, (0, -n_frames % 64)).transpose(2, 3)
    logits = torch.stack([_logits(unet, seen) for unet in network.unets], dim=1)
    shares = logits.softmax(dim=1) if config.mask_function == "softmax" else logits.sigmoid()
    powers = (shares * seen.unsqueeze(1)) ** 2
    masks = (powers + 1e-10 / len(logits[0])) / (powers.sum(dim=1, keepdim=True) + 1e-10)
    masks = masks[..., :n_frames, :].transpose(3, 4)  # [B, S, 2, 1024, K]
    above = masks.mean(dim=3, keepdim=True) * (config.high_band == "average")
    return torch.cat([masks, above.expand(-1, -1, -1, 2049 - 1024, -1)], dim=3)


def _spectrum(mix):
    window = torch.hann_window(4096)
    flat = torch.stft(mix.flatten(0, 1), 4096, 1024, window=window, pad_mode="constant", return_complex=True)
    return flat.unflatten(0, mix.shape[:2])


class PlainSpleeter(SpleeterNetwork):
    """Runs whole every time, each source through its own mask."""

    frozen_part = SeparationNetwork.frozen_part
    trained_part = SeparationNetwork.trained_part

    def forward(self, mix):
        masked = _spectrum(mix).unsqueeze(1) * plain_masks(self, mix)
        window = torch.hann_window(4096)
        audio = torch.istft(masked.flatten(0, 2), 4096, 1024, window=window, length=mix.shape[-1])
        return audio.unflatten(0, masked.shape[:3])


def plain_twin(network):
    """The same parameters in the plain network."""
    twin = PlainSpleeter(network.config).eval()
    twin.load_state_dict(network.state_dict())
    return twin.requires_grad_(False)
