"""`ugosa-server evaluate cunet`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from ugosa_server.errors import BadOptionError

DEFAULT_MODELS = ("cunet-film", "cunet-multiply")


def add_cunet_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to the commands of `evaluate`."""
    parser = commands.add_parser(
        "cunet",
        help="Conditioned U-Nets on pieces in URMP layout: Tables 1 to 3 of their paper",
        description="Scores networks of the same instruments with every kind of masks, told who plays or "
        "that all may, beside ideal binary masks and the mix itself.",
    )
    parser.add_argument("--pieces", type=Path, required=True, metavar="DIR", help="<piece>/AuMix_*, AuSep_*")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help=f"may be given several times ({', '.join(DEFAULT_MODELS)})",
    )
    parser.add_argument("--model-dir", action="append", default=[], type=Path, metavar="DIR")
    parser.add_argument("--max-pieces", type=int, metavar="N", help="take the first pieces only")
    parser.add_argument(
        "--no-bss", action="store_true", help="leave out SDR, SIR and SAR, which take longest"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    parser.set_defaults(run=evaluate_cunet)


def evaluate_cunet(arguments: argparse.Namespace) -> int:
    """Score, a line a piece; then print the tables and write them, and the figures as JSON."""
    import torch

    from ugosa_research.evaluation.cunet.experiment import CunetScores, score_pieces, write_figures_json
    from ugosa_research.evaluation.cunet.systems import ALL_ONES, RIGHT, VIDEO, bounds, network_system
    from ugosa_research.evaluation.cunet.tables import paper_tables
    from ugosa_research.evaluation.urmp import find_pieces
    from ugosa_server.models.checkpoints import load_checkpoint
    from ugosa_server.models.config import MaskKind
    from ugosa_server.models.cunet.config import ConditionedUNetConfig
    from ugosa_server.models.cunet.network import ConditionedUNet
    from ugosa_server.models.registry import ModelRegistry

    torch.set_num_threads(arguments.threads)
    pieces = find_pieces(arguments.pieces)[: arguments.max_pieces]
    registry = ModelRegistry(arguments.model_dir)
    systems = bounds()
    classes: tuple[str, ...] = ()
    hashes = {}
    for name in arguments.model or DEFAULT_MODELS:
        model = registry.get(name)
        config, state = load_checkpoint(model.path)
        if not isinstance(config, ConditionedUNetConfig):
            raise BadOptionError(f"{name} is no Conditioned U-Net")
        if config.video and (blind := [piece.name for piece in pieces if piece.video is None]):
            raise BadOptionError(
                f"{name} sees the players, but {blind[0]} has no Vid_*.npz beside it; make it with "
                "`ugosa-server video features`"
            )
        if classes and config.instruments != classes:
            raise BadOptionError(f"{name} has other instruments than the models before it; evaluate it alone")
        classes, hashes[name] = config.instruments, model.sha256
        network = ConditionedUNet(config)
        network.load_state_dict(state)
        network.eval()
        systems += [
            network_system(name, network, kind=kind, labels=labels)
            for kind in get_args(MaskKind)
            for labels in ((VIDEO,) if config.video else (RIGHT, ALL_ONES))
        ]
    scores = CunetScores(systems)
    arguments.out.mkdir(parents=True, exist_ok=True)
    segments = 0
    for done in score_pieces(pieces, systems, classes, scores, with_bss=not arguments.no_bss):
        segments += done.segments
        print(f"{done.done}/{done.of} {done.piece}: segments {done.segments}", flush=True)
    figures = scores.figures()
    text = paper_tables(systems, figures) + "\n"
    print(text)
    (arguments.out / "tables.md").write_text(text, encoding="utf-8")
    about: dict[str, object] = {
        "pieces": [piece.name for piece in pieces],
        "segments": segments,
        "models": hashes,
    }
    write_figures_json(arguments.out / "results.json", figures, about)
    return 0
