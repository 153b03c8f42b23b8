"""Drawn pictures and videos of players, and a small encoder for them: the way of the data, not a benefit."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)


def drawn(left, right=None, height=48, width=96):
    """A picture of one or two colours, [H, W, 3]."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2] = left
    picture[:, width // 2 :] = right or left
    return picture


def jpeg_header(width, height, marker=0xC0, before=b""):
    """The start of a JPEG file that states a size, and nothing else."""
    return b"\xff\xd8" + before + struct.pack(">BBHBHHB", 0xFF, marker, 8, 8, height, width, 1)


def write_jpeg(path, picture):
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj444p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_video(path, pictures, rate=4):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_colour_encoder(path: Path) -> Path:
    """Write a graph [1, 3, 32, 32] -> [1, 5, 8, 8]: means of the colours, and two mixtures."""
    weights = np.zeros((5, 3, 4, 4), np.float32)
    for channel in range(3):
        weights[channel, channel] = 1 / 16
    weights[3] = 1 / 48
    weights[4, 0], weights[4, 2] = 1 / 16, -1 / 16
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "w"], ["features"], strides=[4, 4])],
        "colours",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 5, 8, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path
