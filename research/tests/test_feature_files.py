"""Feature files bring back what was written, and say what is wrong with others."""

import numpy as np
import pytest

from ugosa_research.cunet.feature_files import read_feature_file
from ugosa_server.errors import BadOptionError
from ugosa_server.video.features import write_feature_file


def test_a_file_brings_back_players_times_and_vectors(tmp_path):
    vectors = [np.array([0.5, 2.0, 0.25], np.float32), np.array([1.0, 0.0, 4.0], np.float32)]
    write_feature_file(tmp_path / "seen.npz", [0, 3], [0.0, 1.5], vectors)
    frames = read_feature_file(tmp_path / "seen.npz", 11025)
    assert [(seen.player, seen.frame) for seen in frames] == [(0, 0), (3, 16538)]
    assert [seen.vector(4).tolist() for seen in frames] == [[*vector.tolist(), 0.0] for vector in vectors]


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "seen.npz"
    with pytest.raises(BadOptionError, match="is no file of video features"):
        read_feature_file(path, 11025)
    path.write_bytes(b"no archive")
    with pytest.raises(BadOptionError, match="is no file of video features"):
        read_feature_file(path, 11025)
    np.savez(path, player=np.zeros(2), time_s=np.zeros(3), features=np.zeros((2, 8)))
    with pytest.raises(BadOptionError, match=r"\(2,\), time_s \(3,\)"):
        read_feature_file(path, 11025)
    np.savez(path, player=np.zeros(1), time_s=np.array([np.nan]), features=np.zeros((1, 8)))
    with pytest.raises(BadOptionError, match="no times"):
        read_feature_file(path, 11025)
