"""Bytes as a stranger would send them: valid ones with damage, or anything at all."""

from hypothesis import strategies as st

INTERESTING = [
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x00" * 8,
    b"\x80",
    b"\n",
    b'"',
    b"-1",
]


@st.composite
def damaged(draw, seeds):
    """One of the seeds with up to six edits: bytes overwritten, inserted, cut out or repeated."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(min_value=1, max_value=6))):
        start = draw(st.integers(min_value=0, max_value=len(data)))
        length = draw(st.integers(min_value=0, max_value=16))
        piece = draw(st.sampled_from(INTERESTING) | st.binary(max_size=8))
        match draw(st.sampled_from(["overwrite", "insert", "cut", "repeat", "truncate"])):
            case "overwrite":
                data[start : start + len(piece)] = piece
            case "insert":
                data[start:start] = piece
            case "cut":
                del data[start : start + length]
            case "repeat":
                data[start:start] = data[start : start + length]
            case "truncate":
                del data[start:]
    return bytes(data)


def hostile(seeds):
    """Damaged seeds, or any bytes."""
    return damaged(seeds) | st.binary(max_size=200)
