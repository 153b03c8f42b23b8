"""Sizes alone describe a network: defaults, video input, depths."""

import math
from dataclasses import replace

import pytest

from ugosa_server.models.config import ALL_DEPTHS, Depth, MaskGrid, VideoInput, depths_of
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.cunet.config import ConditionedUNetConfig

CUNET = ConditionedUNetConfig()
WINDOW_S = 65535 / 11025


def test_waveform_network_has_no_masks_no_video_and_no_limits():
    config = ConvTasNetConfig()
    assert config.stems == config.sources
    assert (config.mask_grid, config.video, config.max_segment_s) == (None, None, math.inf)
    assert config.adaptation_defaults == {}


@pytest.mark.parametrize(
    ("config", "video"),
    [
        (CUNET, None),
        (replace(CUNET, context="frame"), VideoInput(slots=7, interval_s=WINDOW_S)),
        (replace(CUNET, context="frames", context_frames=15), VideoInput(7, WINDOW_S / 15)),
        (replace(CUNET, context="frame", conditioning="none"), None),
    ],
)
def test_video_input_is_that_of_the_context(config, video):
    assert config.video == video
    assert config.mask_grid == MaskGrid(1022, 256)


@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_depths_need_as_many_repeats(repeats):
    config = ConvTasNetConfig(repeats=repeats)
    missing = {Depth(level, end) for level in range(1, 4 - repeats) for end in ("D", "M", "3")}
    assert set(ALL_DEPTHS) - set(depths_of(config)) == missing
