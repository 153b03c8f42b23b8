"""Feature vectors of pictures: by torchvision's ResNet-50 or any ONNX encoder; kept in files (.npz).

`resnet50:FILE` takes the weights of torchvision's ResNet-50 that the user supplies (a plain state dict) and
gives the 2048 numbers before its classifier, as the paper. `onnx:FILE` runs a graph with one picture input,
[B, 3, H, W] or [B, H, W, 3], and takes its first output, averaged over whatever is left of the picture.
Both see RGB scaled to [0, 1] and normalised with ImageNet's means and deviations.

A file of vectors holds `player` [n], `time_s` [n] and `features` [n, D] in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ugosa_server.errors import BadOptionError
from ugosa_server.files import replacing
from ugosa_server.marks.players import MAX_FEATURES
from ugosa_server.video.decode import resized

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
SIDE_PIXELS = 224  # of ResNet-50's pictures, and where a graph leaves its size open
EXTRA = "pip install 'ugosa-server[video]'"


class PictureEncoder(Protocol):
    """Network that encodes a picture as a vector."""

    width: int
    """Width of the pictures that it takes; others are scaled to it."""
    height: int
    """Height of the pictures that it takes."""

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[H, W, 3] -> [D], D at most 2048."""


def open_encoder(text: str, threads: int = 0) -> PictureEncoder:
    """Open "resnet50:FILE" or "onnx:FILE"; an ONNX encoder has `threads` CPU threads, 0 = all cores.

    Raises:
        BadOptionError: there is no such kind, a package is missing, or the file does not fit.
    """
    kind, _, name = text.partition(":")
    kinds: dict[str, Callable[[Path], PictureEncoder]] = {
        "resnet50": ResNet50Encoder,
        "onnx": partial(OnnxEncoder, threads=threads),
    }
    if kind not in kinds or not name:
        raise BadOptionError(f"an encoder is resnet50:FILE or onnx:FILE, got {text!r}")
    if not Path(name).is_file():
        raise BadOptionError(f"there is no file {name}")
    return kinds[kind](Path(name))


class ResNet50Encoder:
    """torchvision's ResNet-50 without its classifier."""

    width = height = SIDE_PIXELS

    def __init__(self, weights: Path) -> None:
        import torch

        resnet50 = torchvision_resnet50()

        from ugosa_server.models.legacy import read_legacy_pickle

        self._torch = torch
        self._network = resnet50(weights=None).eval()
        try:
            self._network.load_state_dict(read_legacy_pickle(weights))
        except (RuntimeError, TypeError, AttributeError) as error:
            raise BadOptionError(f"{weights} holds no weights of torchvision's ResNet-50") from error
        self._network.fc = torch.nn.Identity()

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the protocol; D = 2048."""
        picture = self._torch.from_numpy(_normalised(rgb, SIDE_PIXELS, SIDE_PIXELS).transpose(2, 0, 1).copy())
        with self._torch.inference_mode():
            features: NDArray[np.float32] = self._network(picture.unsqueeze(0))[0].numpy()
        return features


def torchvision_resnet50() -> Callable[..., Any]:
    """Import `resnet50`, also from a torchvision that was built for another torch.

    PyPI's is, beside a CPU torch. Then its compiled operators are missing. ResNet-50 uses none, but the
    import describes two of them to torch and fails if it does not know them; so they are declared, without
    anything that computes them.
    """
    try:
        try:
            from torchvision.models import resnet50
        except RuntimeError:
            import torch

            declared = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            _DECLARED.append(declared)  # they last as long as it
            for name in ("nms", "qnms"):
                schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                declared.define(schema)  # type: ignore[no-untyped-call]
            from torchvision.models import resnet50
    except (ImportError, RuntimeError) as error:
        raise BadOptionError(f"resnet50 needs torchvision ({error}): {EXTRA}") from error
    return resnet50  # type: ignore[no-any-return]


_DECLARED: list[Any] = []


class OnnxEncoder:
    """A graph of onnxruntime, on the CPU."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BadOptionError(f"an ONNX encoder needs onnxruntime ({error}): {EXTRA}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for every way in which a graph can be broken
            raise BadOptionError(f"{path} is no graph that onnxruntime runs: {error}") from error
        (*others, picture) = self._session.get_inputs()
        shape = picture.shape
        self._channels_first = len(shape) == 4 and shape[1] == 3
        if others or not (self._channels_first or (len(shape) == 4 and shape[3] == 3)):
            raise BadOptionError(f"{path} must have one input, [B, 3, H, W] or [B, H, W, 3]; it has {shape}")
        sides = shape[2:] if self._channels_first else shape[1:3]
        self.height, self.width = (side if isinstance(side, int) else SIDE_PIXELS for side in sides)
        self._input = picture.name
        self._output = self._session.get_outputs()[0].name
        self._path = path

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the protocol."""
        picture = _normalised(rgb, self.width, self.height)
        if self._channels_first:
            picture = picture.transpose(2, 0, 1)
        (made,) = self._session.run([self._output], {self._input: np.ascontiguousarray(picture[None])})
        if made.ndim == 4:  # [1, D, H, W], or [1, H, W, D] of a graph that takes its picture so
            made = made.mean(axis=(2, 3) if self._channels_first else (1, 2))
        features: NDArray[np.float32] = made.reshape(-1).astype(np.float32)
        if len(features) > MAX_FEATURES:
            raise BadOptionError(
                f"the encoder {self._path.name} gives {len(features)} numbers a picture, but at most "
                f"{MAX_FEATURES} are taken"
            )
        return features


def _normalised(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """[H, W, 3] of bytes -> [height, width, 3] around 0."""
    picture = resized(rgb, width, height).astype(np.float32) / 255
    return ((picture - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32)


def write_feature_file(
    path: Path, players: Sequence[int], times_s: Sequence[float], vectors: Sequence[NDArray[np.float32]]
) -> None:
    """Write one row a picture; `path` is the old file or the whole new one."""
    with replacing(path) as file:
        np.savez(
            file,
            player=np.array(players, dtype=np.int32),
            time_s=np.array(times_s, dtype=np.float64),
            features=np.stack(vectors).astype("<f2"),
        )
