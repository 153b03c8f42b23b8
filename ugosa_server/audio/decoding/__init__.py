"""From uploaded bytes to decoded songs, in a child process with limits."""

from ugosa_server.audio.decoding.child import DecodeLimits, DecodeRequest, decode_in_child

__all__ = ["DecodeLimits", "DecodeRequest", "decode_in_child"]
