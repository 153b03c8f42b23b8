"""Weights that others have published, which a user's machine can fetch. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PUBLISHED_ROOT = "https://dl.fbaipublicfiles.com/demucs/v3.0/"


@dataclass(frozen=True)
class PublishedWeights:
    """One file of published weights."""

    name: str
    """What jobs call the model."""
    file_name: str
    """Its last part is the start of the file's sha256, as its publishers name all their files."""
    description: str
    """For people."""

    @property
    def sha256_prefix(self) -> str:
        """The first hex digits of the file's sha256."""
        return self.file_name.rpartition("-")[2].partition(".")[0]

    def url(self, mirror: str | None = None) -> str:
        """Where the file lies: with its publishers, or under the same name in a mirror's folder."""
        return (mirror or PUBLISHED_ROOT).rstrip("/") + "/" + self.file_name


PUBLISHED: Mapping[str, PublishedWeights] = {
    weights.name: weights
    for weights in (
        PublishedWeights(
            "tasnet",
            "tasnet-beb46fac.th",
            "ConvTasNet of Defossez et al. (2019), trained on MUSDB18; the network of the UGOSA paper",
        ),
        PublishedWeights(
            "tasnet_extra",
            "tasnet_extra-df3777b2.th",
            "ConvTasNet of Defossez et al. (2019), trained on MUSDB18 and further songs",
        ),
    )
}
