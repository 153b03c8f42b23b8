"""Decode, resample and encode audio."""

from ugosa_server.audio.formats import PcmEncoding, RawPcm, SourceAudio, StemEncoding
from ugosa_server.audio.frames import SourceFrames, open_frames

__all__ = ["PcmEncoding", "RawPcm", "SourceAudio", "SourceFrames", "StemEncoding", "open_frames"]
