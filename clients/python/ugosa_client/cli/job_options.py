"""Command-line options that become JobOptions."""

from __future__ import annotations

import argparse

from ugosa_client.resources import JobOptions, MaskKind, StemEncoding


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per field; what is not given is left to the preset and the model."""
    group = parser.add_argument_group("how the job is done (default: the server's)")
    group.add_argument("--model", metavar="NAME", help="separation network, see `ugosa models`")
    group.add_argument(
        "--preset", metavar="NAME", help="set of defaults: paper, authors-code, fast, film-only, low-rate"
    )
    group.add_argument("--strategy", metavar="NAME", help='what is fine-tuned, for example "P-L3:D" or "B0"')
    group.add_argument(
        "--lambda", dest="silence_weight", type=float, metavar="X", help="weight of the silence term"
    )
    group.add_argument("--lr", dest="learning_rate", type=float, metavar="X", help="learning rate")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the song")
    group.add_argument(
        "--segment", dest="segment_s", type=float, metavar="SECONDS", help="length of a training segment"
    )
    group.add_argument(
        "--hop", dest="hop_s", type=float, metavar="SECONDS", help="between starts of training segments"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="segments a training step")
    group.add_argument(
        "--pitch-shifts", type=int, metavar="N", help="pitch-shifted copies of each segment to learn from"
    )
    group.add_argument("--seed", type=int, metavar="N", help="of every random choice")
    group.add_argument(
        "--separation-segment",
        dest="separation_segment_s",
        type=float,
        metavar="SECONDS",
        help="length of a separation segment",
    )
    group.add_argument(
        "--overlap", type=float, metavar="SHARE", help="of separation segments, 0 <= SHARE < 1"
    )
    group.add_argument("--shifts", type=int, metavar="N", help="random shifts averaged in separation")
    group.add_argument(
        "--wiener",
        dest="wiener_exponent",
        type=float,
        metavar="EXPONENT",
        help="generalised Wiener filter over the network's estimates: 1 magnitudes, 2 powers, 0 none",
    )
    group.add_argument(
        "--masks",
        dest="mask_kind",
        choices=[kind.value for kind in MaskKind],
        metavar="KIND",
        help="of a model that gives masks: soft; hard, all or nothing in each bin; or shared, each bin "
        "shared out among the sources (the model's, else soft)",
    )
    group.add_argument(
        "--instruments",
        type=_names,
        default=(),
        metavar="A,B,...",
        help="which of the model's instruments play (default: those that the marks name)",
    )
    group.add_argument(
        "--format",
        dest="stem_encoding",
        choices=[encoding.value for encoding in StemEncoding],
        metavar="FORMAT",
        help="of the stems: " + ", ".join(StemEncoding),
    )


def job_options(arguments: argparse.Namespace) -> JobOptions:
    """Return the JobOptions of parsed arguments."""
    return JobOptions(
        model=arguments.model,
        preset=arguments.preset,
        strategy=arguments.strategy,
        silence_weight=arguments.silence_weight,
        learning_rate=arguments.learning_rate,
        epochs=arguments.epochs,
        segment_s=arguments.segment_s,
        hop_s=arguments.hop_s,
        batch_size=arguments.batch_size,
        pitch_shifts=arguments.pitch_shifts,
        seed=arguments.seed,
        separation_segment_s=arguments.separation_segment_s,
        overlap=arguments.overlap,
        shifts=arguments.shifts,
        wiener_exponent=arguments.wiener_exponent,
        mask_kind=MaskKind(arguments.mask_kind) if arguments.mask_kind else None,
        stem_encoding=StemEncoding(arguments.stem_encoding) if arguments.stem_encoding else None,
        instruments=arguments.instruments,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
