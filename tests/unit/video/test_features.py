"""Feature files hold what was made of the pictures."""

import numpy as np

from ugosa_server.video.features import write_feature_file


def test_a_file_holds_players_times_and_vectors(tmp_path):
    vectors = [np.array([0.5, 2.0, 0.25], np.float32), np.array([1.0, 0.0, 4.0], np.float32)]
    write_feature_file(tmp_path / "seen.npz", [0, 3], [0.0, 1.5], vectors)
    with np.load(tmp_path / "seen.npz") as seen:
        assert (seen["player"].tolist(), seen["time_s"].tolist()) == ([0, 3], [0.0, 1.5])
        assert (seen["features"].dtype, seen["features"].tolist()) == ("<f2", [v.tolist() for v in vectors])
