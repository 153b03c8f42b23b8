"""Decode, resample and encode audio."""

from ugosa_server.audio.formats import PcmEncoding, RawPcm, SourceAudio, StemEncoding, check_stem_rate
from ugosa_server.audio.frames import SourceFrames

__all__ = ["PcmEncoding", "RawPcm", "SourceAudio", "SourceFrames", "StemEncoding", "check_stem_rate"]
