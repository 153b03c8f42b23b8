"""HTTP/2 by hand, for clients that do what no library does."""

import struct

SETTINGS, HEADERS, DATA = 4, 1, 0  # types of frames
INITIAL_WINDOW_SIZE = 4
END_HEADERS, END_STREAM = 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def stalled_watch(path):
    """Bytes of an HTTP/2 client that opens a stream and never takes a byte of it."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    headers = b"".join(
        b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return (
        PREFACE
        + window_setting(0)
        + frame(HEADERS, END_HEADERS, 1, headers)
        + frame(DATA, END_STREAM, 1, bytes(5))  # an empty request
    )


def window_setting(size):
    """A frame that sets the window of every stream."""
    return frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, size))
