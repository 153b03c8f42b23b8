"""Write tests/data/golden/: what demucs 2.0.3's own ConvTasNet computes, and its checkpoints in every layout.

    python tests/data/make_golden.py [FOLDER]

demucs 2.0.3 (MIT) is the last release with ConvTasNet. It is installed from its sdist into a throw-away
environment, without its dependencies; torch comes from the environment that runs this file. Everything is
seeded, so that another run writes the same numbers.

    plain-SHA256.th    a state dict alone, as the published weights
    v1_tuple.th        demucs 1: (class, args, kwargs, state), in torch's file format of that time
    v2_training.th     demucs 2's training: klass, args, kwargs, state, training_args
    network.safetensors  mix, stems and the gradients of every parameter
    losses.json        the first losses of P-L3:D in a plain version of the authors' loop
"""

import argparse
import hashlib
import json
import subprocess
import sys
import sysconfig
import tempfile
import types
import venv
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
SEED = 20210607
SOURCES = ["drums", "bass", "other", "vocals"]
SIZES = {"N": 16, "L": 8, "B": 8, "H": 16, "P": 3, "X": 2, "R": 4}
SAMPLE_RATE_HZ = 8000
SEGMENT_FRAMES = 1000
SEGMENTS = 5
EPOCHS = 4
LEARNING_RATE = 1e-2
GAMMA = 1.0  # the authors' weight of the silence term, on a mean over sources


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
        ]
        subprocess.run([python, *install, "demucs", "demucs==2.0.3"], check=True)
        site = Path(
            subprocess.check_output(
                [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
            ).strip()
        )
        (site / "torch-from-outside.pth").write_text(sysconfig.get_path("purelib") + "\n")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, __file__, "--inside", folder.absolute()], check=True, cwd=home)


def write_goldens(folder: Path) -> None:
    """Run inside the throw-away environment."""
    import torch
    from safetensors.torch import save_file

    # demucs.utils imports both for training; nothing of them is used here.
    sys.modules["diffq"] = types.SimpleNamespace(UniformQuantizer=None, DiffQuantizer=None)
    sys.modules.setdefault("tqdm", types.SimpleNamespace())
    from demucs.tasnet import ConvTasNet

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = ConvTasNet(SOURCES, samplerate=SAMPLE_RATE_HZ, **SIZES)
    with torch.no_grad():
        for parameter in network.parameters():  # norms start at 1 and 0, which would hide a mistake
            parameter.add_(0.1 * torch.randn_like(parameter))
    write_checkpoints(folder, network)

    mix = torch.randn(2, 2, 437)  # a length that is no whole number of frames
    probe = torch.randn(2, 4, 2, 437)
    stems = network(mix)
    (stems * probe).sum().backward()
    gradients = {f"gradient.{name}": p.grad.clone() for name, p in network.named_parameters()}
    save_file(
        {"mix": mix, "probe": probe, "stems": stems.detach(), **gradients}, folder / "network.safetensors"
    )
    network.zero_grad()
    song, activity, order, losses = authors_loop(network)
    save_file({"song": song, "activity": activity}, folder / "song.safetensors")
    for written in folder.iterdir():
        written.chmod(0o644)  # safetensors keeps its files to their owner
    settings = {
        "torch": torch.__version__,
        "demucs": "2.0.3",
        "seed": SEED,
        "segment_frames": SEGMENT_FRAMES,
        "epochs": EPOCHS,
        "learning_rate": LEARNING_RATE,
        "gamma": GAMMA,
        "order": order,
        "losses": losses,
    }
    (folder / "losses.json").write_text(json.dumps(settings, indent=1) + "\n")


def write_checkpoints(folder: Path, network) -> None:
    import torch

    state = network.state_dict()
    args, kwargs = network._init_args_kwargs
    temporary = folder / "plain.th"
    torch.save(state, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    for old in folder.glob("plain-*.th"):
        old.unlink()
    temporary.rename(folder / f"plain-{digest[:8]}.th")
    torch.save(
        (type(network), args, kwargs, state), folder / "v1_tuple.th", _use_new_zipfile_serialization=False
    )
    package = {
        "klass": type(network),
        "args": args,
        "kwargs": kwargs,
        "state": state,
        # What demucs 2 keeps there is its parsed command line, paths included.
        "training_args": argparse.Namespace(musdb=Path("/data/musdb"), epochs=180, tasnet=True, X=SIZES["X"]),
    }
    torch.save(package, folder / "v2_training.th")


def authors_loop(network):
    """The authors' loop, written plainly: P-L3:D on consecutive segments, one at a time.

    L = | sum_i h_i s_i - y | + gamma * mean_i | (1 - h_i) s_i |, each a mean over channels and time. Their
    mean over sources makes gamma = 1 what Eq. 2 of the paper calls lambda = 1/S.
    """
    import numpy as np
    import torch
    import torch_optimizer

    song = torch.randn(2, SEGMENTS * SEGMENT_FRAMES)  # [C, T], normalised
    activity = torch.ones(len(SOURCES), song.shape[-1])  # [S, T]
    activity[1, : song.shape[-1] // 3] = 0
    activity[3, song.shape[-1] // 2 :] = 0

    # "Freeze the first 338 modules of the separator", in a network of any size: all before the last repeat.
    # A block has 11 modules, a repeat one more than its blocks, and 5 come before the first repeat.
    frozen_modules = 5 + (SIZES["R"] - 1) * (1 + 11 * SIZES["X"])
    for module in list(network.separator.modules())[:frozen_modules]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    for parameter in network.encoder.parameters():
        parameter.requires_grad_(False)
    optimiser = torch_optimizer.Ranger(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=LEARNING_RATE,
        alpha=0.5,
        k=6,
        betas=(0.95, 0.999),
        eps=1e-5,
    )
    shuffle = np.random.default_rng(SEED)
    order, losses = [], []
    for _ in range(EPOCHS):
        for segment in shuffle.permutation(SEGMENTS):
            start = int(segment) * SEGMENT_FRAMES
            y = song[None, :, start : start + SEGMENT_FRAMES]  # [1, C, T]
            h = activity[None, :, None, start : start + SEGMENT_FRAMES]  # [1, S, 1, T]
            estimates = network(y)  # [1, S, C, T]
            reconstruction = ((h * estimates).sum(dim=1) - y).abs().mean()
            silence = ((1 - h) * estimates).abs().mean()
            loss = reconstruction + GAMMA * silence
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            order.append(start)
            losses.append(loss.item())
    return song, activity, order, losses


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        write_goldens(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
