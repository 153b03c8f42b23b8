"""Pickled checkpoints, read as data: no class is looked up and nothing that a file names is called.

`torch.load(weights_only=True)` runs a reader of its own that knows tensors, numbers, strings and containers,
and refuses every other name in the file. The older layouts name a few more things, all of which stand in for
themselves here:

- the network's class. It becomes a `ClassReference`, which only knows its name: a file that tries to make
  one, or to give one a state, is refused;
- what demucs 2 keeps of its training's command line: an `argparse.Namespace` with paths in it. They become
  `Discarded` objects, which forget whatever they are given;
- exact fractions (the segment length of Hybrid Transformer Demucs), which are read as such.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import tarfile
import zipfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import torch

from ugosa_server.errors import CheckpointError

COMMAND_LINE_CLASSES = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.Path",
    "pathlib._local.PosixPath",  # Python 3.13
    "pathlib._local.WindowsPath",
)


class ClassReference:
    """The name of a class in a pickle. Each name gets a subclass of its own, which cannot be instantiated."""

    full_name = ""

    def __new__(cls, *args: object, **kwargs: object) -> NoReturn:  # noqa: D102
        raise pickle.UnpicklingError(f"the file tries to make an object of {cls.full_name}")


class Discarded:
    """Stands for an object that nobody needs, and keeps nothing of what it is made from."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def reference(full_name: str) -> type[ClassReference]:
    """Make the stand-in for a class."""
    return type("ClassReference", (ClassReference,), {"full_name": full_name})


def read_legacy_pickle(path: Path, class_names: Iterable[str] = ()) -> Any:
    """Read a file of `torch.save`, of either of its formats.

    Args:
        path: the file.
        class_names: full names of classes that the file may name; they come back as `ClassReference`.

    Raises:
        CheckpointError: the file is missing, is no such file, or names anything else.
    """
    known: list[Any] = [
        *((reference(name), name) for name in class_names),
        *((Discarded, name) for name in COMMAND_LINE_CLASSES),
        Fraction,
    ]
    try:
        with torch.serialization.safe_globals(known):
            if not zipfile.is_zipfile(path):
                file = io.BytesIO(_without_class_sources(path.read_bytes()))
                return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file {path}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is refused and nothing in it was run: {_reason(error)}") from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        NotImplementedError,
        zipfile.BadZipFile,
        tarfile.TarError,
    ) as error:  # what torch's reader meets in a broken file
        raise CheckpointError(f"{path} is not a readable checkpoint of torch: {error}") from error


def _without_class_sources(data: bytes) -> bytes:
    """Make a file of torch before 1.6 readable with `weights_only`, and change nothing else.

    Such a file is a row of pickles (magic number, version, system, object, storage keys) and raw numbers.
    In the object's pickle a network's class stands as a persistent id made of the tuple ("module", class,
    name of its source file, source text), which torch's reader refuses. Here the class alone is left.
    """
    stream = io.BytesIO(data)
    for _ in range(3):
        for _opcode in pickletools.genops(stream):
            pass
    start = stream.tell()
    opcodes = [
        (op.name, argument, start + (at or 0)) for op, argument, at in pickletools.genops(data[start:])
    ]
    names = [name for name, _, _ in opcodes]
    pieces, copied = [], 0
    for i, (name, argument, _) in enumerate(opcodes):
        if (
            (name, argument) == ("BINUNICODE", "module")
            and names[i - 1] == "MARK"
            and names[i + 1 : i + 4] == ["BINPUT", "GLOBAL", "BINPUT"]
            and "BINPERSID" in names[i:]
        ):
            mark, class_name, end_of_class = (opcodes[j][2] for j in (i - 1, i + 2, i + 4))
            end = opcodes[names.index("BINPERSID", i)][2] + 1
            pieces += [data[copied:mark], data[class_name:end_of_class]]
            copied = end
    return b"".join([*pieces, data[copied:]])


def _reason(error: Exception) -> str:
    """What torch's reader says of the file, without its advice to trust it or to read the manual."""
    *paragraphs, _manual = str(error).split("\n\n")
    reason = (paragraphs or [str(error)])[-1].rpartition("WeightsUnpickler error:")[2]
    return " ".join(reason.partition(" was not an allowed global")[0].split())
