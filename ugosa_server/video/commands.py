"""`ugosa-server video features`: pictures of players in, a file for `ugosa separate --video-features` out."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError
from ugosa_server.models.cunet.config import ConditionedUNetConfig


def add_video_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `video` to the server's command line."""
    video = commands.add_parser("video", help="encode pictures of players, for models conditioned on video")
    actions = video.add_subparsers(dest="video_command", required=True)
    features = actions.add_parser("features", help="make feature vectors of pictures (extra 'video')")
    features.add_argument(
        "pictures", type=Path, help="a video file, or a folder of files PLAYER_SECONDS.jpg such as 0_12.5.jpg"
    )
    features.add_argument(
        "--encoder",
        required=True,
        metavar="resnet50:FILE|onnx:FILE",
        help="weights of torchvision's ResNet-50, or any encoder in an ONNX file",
    )
    features.add_argument(
        "--players",
        default="",
        metavar="LEFT,TOP,WIDTH,HEIGHT;...",
        help="a video: where each player is, slot by slot (default: one, the whole picture)",
    )
    window_s = ConditionedUNetConfig.max_segment_s
    features.add_argument(
        "--every", type=float, default=window_s, metavar="SECONDS", help="a video: between pictures"
    )
    features.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.npz")
    features.set_defaults(run=make_features)


def make_features(options: argparse.Namespace) -> int:
    """Encode every picture and write one file, whole or not at all."""
    from ugosa_server.marks.players import MAX_VISUAL_FRAMES
    from ugosa_server.video.decode import parse_boxes, read_folder, read_video
    from ugosa_server.video.features import open_encoder, write_feature_file

    if not options.every > 0:
        raise BadOptionError(f"pictures must be more than 0 s apart, got {options.every:g}")
    encoder = open_encoder(options.encoder)
    boxes = parse_boxes(options.players) if options.players else ()
    every = (count * options.every for count in itertools.count())
    pictures = (
        read_folder(options.pictures)
        if options.pictures.is_dir()
        else read_video(options.pictures, boxes, every, str(options.pictures))
    )
    players: list[int] = []
    times_s: list[float] = []
    vectors: list[NDArray[np.float32]] = []
    for picture in pictures:
        if len(players) == MAX_VISUAL_FRAMES:
            raise BadOptionError(
                f"a job takes {MAX_VISUAL_FRAMES} pictures at most; take fewer of them (--every)"
            )
        players.append(picture.player)
        times_s.append(picture.time_s)
        vectors.append(encoder.encode(picture.rgb))
    write_feature_file(options.out, players, times_s, vectors)
    print(f"{options.out}: pictures {len(players)}, players {len(set(players))}, features {len(vectors[0])}")
    return 0
