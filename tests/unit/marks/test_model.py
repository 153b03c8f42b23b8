"""Interval sets against boolean arrays."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ugosa_server.marks import Interval, complement, inside, intersect, merge

FRAMES = 40

intervals = st.lists(st.tuples(st.integers(0, FRAMES), st.integers(0, FRAMES)), max_size=8)


def as_mask(spans: list[Interval]) -> np.ndarray:
    mask = np.zeros(FRAMES, dtype=bool)
    for start, stop in spans:
        mask[start:stop] = True
    return mask


def assert_merged(spans: list[Interval]) -> None:
    assert all(start < stop for start, stop in spans)
    assert all(before[1] < after[0] for before, after in pairwise(spans))


@given(intervals)
def test_merge_keeps_the_set_and_is_canonical(spans):
    merged = merge(spans)
    assert_merged(merged)
    np.testing.assert_array_equal(as_mask(merged), as_mask(spans))


@given(intervals, intervals)
def test_intersect_holds_what_lies_in_both(first, second):
    common = intersect(first, second)
    assert_merged(common)
    np.testing.assert_array_equal(as_mask(common), as_mask(first) & as_mask(second))


@given(intervals)
def test_complement_holds_the_rest(spans):
    rest = complement(spans, FRAMES)
    assert_merged(rest)
    np.testing.assert_array_equal(as_mask(rest), ~as_mask(spans))


def test_complement_stays_within_the_song():
    assert complement([(2, 5), (8, 50)], 10) == [(0, 2), (5, 8)]
    assert complement([(20, 30)], 10) == [(0, 10)]
    assert complement([], 0) == []


@given(intervals, st.integers(0, FRAMES), st.integers(0, FRAMES))
def test_inside_clips_to_a_window_and_shifts_to_its_start(spans, start, length):
    stop = start + length
    found = [frame for a, b in inside(spans, start, stop) for frame in range(a, b)]
    assert found == [frame - start for a, b in spans for frame in range(a, b) if start <= frame < stop]
