"""The table of the guard counts its agreement with the truth, song by song."""

import pytest

from ugosa_research.evaluation.guard_table import guard_table
from ugosa_research.evaluation.methods import grid
from ugosa_research.evaluation.results import Results, RunScores


def run(song, method, sdr, kept_epoch=None):
    strategy = method.split()[0]
    return RunScores(song, method, strategy, {}, 1, {("drums", "SDR"): sdr}, kept_epoch)


def song(name, without, guarded, kept_epoch):
    """A song whose base has 5 dB."""
    return [
        run(name, "B0", 5.0),
        run(name, "R-L3:D guard=off", 5.0 + without),
        run(name, "R-L3:D guard=on", 5.0 + guarded, kept_epoch),
    ]


def test_guard_agrees_where_it_keeps_what_is_better():
    runs = [
        *song("kept and better", 1.0, 0.8, 4),
        *song("kept and worse", -0.5, -0.4, 2),
        *song("not kept and better", 0.5, 0.0, 0),
        *song("not kept and worse", -1.0, 0.0, 0),
        *song("no difference", 0.01, 0.0, 0),
        *song("too little silence", 0.5, 0.5, None),
    ]
    row = guard_table(Results(runs), "SDR").splitlines()[-1]
    assert row == "| R-L3:D | 5 | +0.01 | -1.00 | +0.00 | -0.40 | 2 | 3 |"


@pytest.mark.parametrize("left_out", [0, 2])
def test_there_is_no_table_without_base_and_guard(left_out):
    runs = song("a", 1.0, 1.0, 1)
    del runs[left_out]
    assert guard_table(Results(runs), "SDR") == ""


def test_guard_is_an_option_of_methods():
    methods = grid(["B0", "P-L3:D", "R-L3:D"], {"guard": [False, True], "marks_weight": [0.5]})
    assert [method.name for method in methods] == [
        "B0",
        "P-L3:D guard=off",
        "P-L3:D guard=on",
        "R-L3:D guard=off marks=0.5",
        "R-L3:D guard=on marks=0.5",
    ]
