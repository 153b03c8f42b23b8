"""Arrays go to the device and results come back as they are."""

import numpy as np
import torch

from ugosa_server.models.device_transfer import Readback, to_device


def test_there_and_back_nothing_changes():
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T  # not contiguous
    tensor = to_device(array, "cpu")
    assert tensor.is_contiguous()
    np.testing.assert_array_equal(Readback(tensor).array(), array)


def test_a_contiguous_array_is_not_copied_on_a_cpu():
    array = np.zeros(3, dtype=np.float32)
    tensor = to_device(array, torch.device("cpu"))
    array[0] = 1
    assert float(tensor[0]) == 1
