"""True stems as decoded frames on disk, all of one song with the same rate, channels and length."""

from __future__ import annotations

from pathlib import Path

from ugosa_research.evaluation.datasets import STEM_MP4, Song
from ugosa_research.evaluation.stem_mp4 import decode_stem_mp4
from ugosa_server.audio.decoding.child import DecodeRequest
from ugosa_server.audio.decoding.decode import decode
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import BadAudioError


def decode_stems(song: Song, folder: Path) -> list[SourceAudio]:
    """Decode the stems of a song to raw float32 files in `folder`, in the song's order.

    Raises:
        BadAudioError: a file is damaged, or the stems differ in rate or channels.
        UnsupportedEncodingError: a file is of a kind that is not accepted.
    """
    if song.stems[0].path.endswith(STEM_MP4):
        return decode_stem_mp4(Path(song.stems[0].path), folder)
    stems = [
        decode(DecodeRequest(stem.path, str(folder / f"{number}.f32")))
        for number, stem in enumerate(song.stems)
    ]
    layouts = {(stem.sample_rate_hz, stem.channels) for stem in stems}
    if len(layouts) > 1:
        found = ", ".join(f"{rate} Hz with {channels} channel(s)" for rate, channels in sorted(layouts))
        raise BadAudioError(f"the stems of {song.name} differ: {found}; bring them to one rate and layout")
    return stems
