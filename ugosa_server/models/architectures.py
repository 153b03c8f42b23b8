"""Kinds of network that a checkpoint can hold, by the format in its header. Free of torch.

`network.py` says how to add one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ugosa_server.errors import CheckpointError, UgosaError
from ugosa_server.models.band.config import BandConfig
from ugosa_server.models.config import NetworkConfig
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.demucs.config import DemucsConfig
from ugosa_server.models.spleeter.config import SpleeterConfig

MAX_CONFIG_CHARS = 10_000_000  # demucs lists its tensors there
MAX_SIZE = 1_000_000
MAX_ITEMS = 10_000


@dataclass(frozen=True)
class Architecture:
    """One kind of network."""

    name: str
    """Name for people and on the wire, for example "conv_tasnet"."""
    format: str
    """Format in the header of its checkpoints, for example "ugosa-convtasnet-1"."""
    config_class: type[Any]
    """Class of its sizes, a dataclass that fulfils `NetworkConfig`."""
    network: str
    """Class of the network, in `network.py` beside the sizes; imported by `network.build_network`."""

    def read_config(self, text: str) -> NetworkConfig:
        """Read sizes from JSON, as `config_json` writes it.

        Raises:
            CheckpointError: they are incomplete, unknown, or cannot work.
        """
        try:
            if len(text) > MAX_CONFIG_CHARS:
                raise CheckpointError(f"its sizes take {len(text)} characters; at most {MAX_CONFIG_CHARS}")
            fields = json.loads(text)
            _check_bounds(fields)
            unknown = set(fields) - {field.name for field in dataclasses.fields(self.config_class)}
            if unknown:
                raise CheckpointError(f"{self.name} has no size named {', '.join(sorted(unknown))}")
            config: NetworkConfig = msgspec.convert(fields, self.config_class)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise CheckpointError(str(error)) from error
        except UgosaError as error:
            raise CheckpointError(error.message) from error
        return config


def _check_bounds(value: Any) -> None:
    """Refuse sizes of which even the list of tensors would be endless."""
    if isinstance(value, dict | list):
        if len(value) > MAX_ITEMS:
            raise CheckpointError(f"a list of {len(value)} sizes; at most {MAX_ITEMS} are taken")
        for item in value.values() if isinstance(value, dict) else value:
            _check_bounds(item)
    elif isinstance(value, int | float) and not -MAX_SIZE <= value <= MAX_SIZE:
        raise CheckpointError(f"a size of {value}; at most {MAX_SIZE} is taken")


ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.format: architecture
    for architecture in (
        Architecture("conv_tasnet", "ugosa-convtasnet-1", ConvTasNetConfig, "ConvTasNet"),
        Architecture("demucs", "ugosa-demucs-1", DemucsConfig, "DemucsNetwork"),
        Architecture("conditioned_unet", "ugosa-cunet-1", ConditionedUNetConfig, "ConditionedUNet"),
        Architecture("spleeter", "ugosa-spleeter-1", SpleeterConfig, "SpleeterNetwork"),
        Architecture("band", "ugosa-band-1", BandConfig, "BandNetwork"),
    )
}


def architecture_of(config: NetworkConfig) -> Architecture:
    """Return the architecture that sizes belong to."""
    return next(a for a in ARCHITECTURES.values() if isinstance(config, a.config_class))


def config_json(config: NetworkConfig) -> str:
    """Return sizes as JSON, for the header of a checkpoint."""
    return msgspec.json.encode(config).decode()
