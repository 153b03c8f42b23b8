import math

import pytest

from ugosa_server.audio.formats import amplitude, energy_dbfs, peak_dbfs


def test_full_scale_is_0_dbfs_and_half_is_6_below():
    assert peak_dbfs(1.0) == energy_dbfs(1.0) == 0
    assert peak_dbfs(0.5) == pytest.approx(-6.0206, abs=1e-4)
    assert energy_dbfs(0.5) == pytest.approx(-3.0103, abs=1e-4)


def test_digital_silence_is_minus_infinity_or_the_floor():
    assert peak_dbfs(0.0) == energy_dbfs(0.0) == -math.inf
    assert energy_dbfs(1e-30, floor_dbfs=-200) == -200


def test_amplitude_undoes_the_peak_level():
    assert amplitude(peak_dbfs(0.123)) == pytest.approx(0.123)
