"""A local repository of demucs with networks so small that adaptation takes milliseconds."""

from fractions import Fraction

import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.states import save_with_checksum

SIX_SOURCES = ["drums", "bass", "other", "vocals", "guitar", "piano"]
SAMPLE_RATE_HZ = 8000
SEGMENT_S = Fraction(13, 10)  # of the transformer


def tiny_htdemucs():
    return HTDemucs(
        SIX_SOURCES,
        channels=8,
        depth=3,
        nfft=512,
        t_layers=2,
        t_heads=2,
        samplerate=SAMPLE_RATE_HZ,
        segment=SEGMENT_S,
    ).eval()


def tiny_hdemucs():
    return HDemucs(
        SIX_SOURCES[:4],
        channels=8,
        depth=4,
        nfft=256,
        dconv_lstm=2,
        dconv_attn=2,
        norm_starts=2,
        samplerate=SAMPLE_RATE_HZ,
        segment=4,
    ).eval()


def write_repo(folder):
    """Files as demucs publishes them: HTDemucs hy000001, hy000002 and their bag `both`, HDemucs hd000001."""
    for signature, make, seed in (
        ("hy000001", tiny_htdemucs, 1),
        ("hy000002", tiny_htdemucs, 2),
        ("hd000001", tiny_hdemucs, 3),
    ):
        torch.manual_seed(seed)
        network = make()
        args, kwargs = network._init_args_kwargs
        package = {
            "klass": type(network),
            "args": args,
            "kwargs": kwargs,
            "state": {name: tensor.half() for name, tensor in network.state_dict().items()},
            "training_args": {"dset": {"sources": SIX_SOURCES}, "seed": seed},
        }
        save_with_checksum(package, folder / f"{signature}.th")
    (folder / "both.yaml").write_text(
        "models: ['hy000001', 'hy000002']\nweights: [[1., 0., 1., 1., 1., 1.], [0., 1., 1., 3., 1., 1.]]\n"
    )
    return folder
