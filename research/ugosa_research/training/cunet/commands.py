"""`ugosa-server train cunet-data` and `train cunet`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_cunet_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the commands of `train`."""
    data = commands.add_parser(
        "cunet-data",
        help="render recordings of single instruments and test ensembles from scores and soundfonts",
        description="Solos layout for training and validation, URMP layout for two test sets (the same "
        "pieces on soundfonts that training hears and on one that it does not). A second call resumes.",
    )
    data.add_argument("--out", type=Path, required=True, metavar="DIR")
    data.add_argument("--seed", type=int, default=0, metavar="N", help="of all choices (0)")
    data.add_argument("--takes", type=int, default=500, metavar="N", help="takes of 40 s to train on (500)")
    data.add_argument("--validation-takes", type=int, default=40, metavar="N", help="(40)")
    data.add_argument("--test-pieces", type=int, default=24, metavar="N", help="in each test set (24)")
    data.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")
    data.set_defaults(run=render_data)

    cunet = commands.add_parser(
        "cunet", help="train a Conditioned U-Net on folders in Solos layout; a second call resumes"
    )
    cunet.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML, see recipe.py")
    cunet.add_argument("--data", type=Path, required=True, metavar="DIR", help="with <Instrument>/*.wav")
    cunet.add_argument(
        "--validation-data", type=Path, metavar="DIR", help="default: a share of the takes of --data"
    )
    cunet.add_argument(
        "--experiment",
        metavar="ROW",
        help="instead of the recipe's: network, loss and curriculum of a row of the paper's tables, 1 to 16 "
        "by Table 4, or of Table 3 such as bottleneck-1-ft",
    )
    cunet.add_argument("--start", type=Path, metavar="FILE", help="a model to take all but FiLM from")
    cunet.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    cunet.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write OUT/tensorboard (extra `tensorboard`)",
    )
    cunet.set_defaults(run=train_cunet)


def render_data(arguments: argparse.Namespace) -> int:
    """Render takes, a line each."""
    from ugosa_research.songs.ensembles.dataset import EnsembleDataPlan, render_dataset

    plan = EnsembleDataPlan(
        seed=arguments.seed,
        training_takes=arguments.takes,
        validation_takes=arguments.validation_takes,
        test_takes=arguments.test_pieces,
    )
    for progress in render_dataset(plan, arguments.out, arguments.workers):
        print(f"{progress.done}/{progress.of} {progress.set_name}", flush=True)
    return 0


def train_cunet(arguments: argparse.Namespace) -> int:
    """Train, showing progress and writing a line a report to `log.jsonl`."""
    from ugosa_research.training.cunet.recipe import load_recipe
    from ugosa_research.training.cunet.run import run_cunet_training, view
    from ugosa_research.training.display import on_tensorboard, shown

    recipe = load_recipe(arguments.config)
    if arguments.experiment is not None:
        recipe = recipe.for_experiment(arguments.experiment)
    arguments.out.mkdir(parents=True, exist_ok=True)
    reports = run_cunet_training(
        recipe, arguments.data, arguments.out, arguments.validation_data, arguments.start
    )
    if arguments.tensorboard:
        reports = on_tensorboard(reports, arguments.out / "tensorboard", view)
    for _ in shown(reports, recipe.iterations, view, arguments.out / "log.jsonl"):
        pass
    return 0
