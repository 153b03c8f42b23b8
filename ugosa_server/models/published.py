"""Weights that others have published, which a user's machine can fetch. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROOT = "https://dl.fbaipublicfiles.com/demucs/"


@dataclass(frozen=True)
class PublishedWeights:
    """One model: a ConvTasNet in one file, or a bag of demucs 4's networks."""

    name: str
    """What jobs call the model."""
    folder: str
    """Where its publishers keep it, below ROOT."""
    file_names: tuple[str, ...]
    """The end of each name is the start of the file's sha256."""
    description: str
    """For people."""
    is_demucs_4: bool = False
    """True for a bag of demucs 4, False for a ConvTasNet."""

    def url(self, file_name: str, mirror: str | None = None) -> str:
        """Where a file lies: with its publishers, or under the same name in a mirror's folder."""
        return (mirror or ROOT + self.folder).rstrip("/") + "/" + file_name


def sha256_prefix(file_name: str) -> str:
    """The first hex digits of the sha256 of a published file."""
    return file_name.rpartition("-")[2].partition(".")[0]


PUBLISHED: Mapping[str, PublishedWeights] = {
    weights.name: weights
    for weights in (
        PublishedWeights(
            "tasnet",
            "v3.0",
            ("tasnet-beb46fac.th",),
            "ConvTasNet of Defossez et al. (2019), trained on MUSDB18; the network of the UGOSA paper",
        ),
        PublishedWeights(
            "tasnet_extra",
            "v3.0",
            ("tasnet_extra-df3777b2.th",),
            "ConvTasNet of Defossez et al. (2019), trained on MUSDB18 and further songs",
        ),
        PublishedWeights(
            "htdemucs",
            "hybrid_transformer",
            ("955717e8-8726e21a.th",),
            "Hybrid Transformer Demucs (Rouard et al. 2023)",
            is_demucs_4=True,
        ),
        PublishedWeights(
            "htdemucs_ft",
            "hybrid_transformer",
            ("f7e0c4bc-ba3fe64a.th", "d12395a8-e57c48e6.th", "92cfc3b6-ef3bcb9c.th", "04573f0d-f3cf25b2.th"),
            "Hybrid Transformer Demucs, one network fine-tuned for each source: four times the work",
            is_demucs_4=True,
        ),
        PublishedWeights(
            "htdemucs_6s",
            "hybrid_transformer",
            ("5c90dfd2-34c22ccb.th",),
            "Hybrid Transformer Demucs with guitar and piano as fifth and sixth source",
            is_demucs_4=True,
        ),
        PublishedWeights(
            "hdemucs_mmi",
            "hybrid_transformer",
            ("75fc33f5-1941ce65.th",),
            "Hybrid Demucs (Defossez 2021), trained again with the data of htdemucs",
            is_demucs_4=True,
        ),
    )
}
