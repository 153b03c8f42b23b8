"""Results: medians over songs, the paper beside ours, and an honest comparison of methods."""

import csv
import itertools
import json
import math

import numpy as np
import pytest

from ugosa_research.evaluation.figures import write_figures
from ugosa_research.evaluation.paper_table import (
    PAPER_TABLE_1,
    comparison_table,
    paper_value,
    plain_table,
    table_1,
)
from ugosa_research.evaluation.results import Results, RunScores, read_results, write_csv, write_json
from ugosa_server.errors import BadAudioError

SONGS = 8


def run(song, method, sdr, sir=10.0, strategy=None, **changes):
    medians = {
        ("vocals", "SDR"): sdr,
        ("vocals", "SIR"): sir,
        ("other", "SDR"): sdr + 1,
        ("other", "SIR"): math.nan,
    }
    parameters = 0 if method == "B0" else 2_929_684
    return RunScores(f"song {song}", method, strategy or method, changes, parameters, medians)


@pytest.fixture
def results():
    """P-L3:D is better than B0 by 0.1, 0.2, ..., 0.8 dB."""
    base = [3.0, 5.0, 1.0, 4.0, 9.0, 2.0, 6.0, 7.0]
    runs = [run(song, "P-L3:D", sdr + 0.1 * (song + 1)) for song, sdr in enumerate(base)]
    return Results([*(run(song, "B0", sdr) for song, sdr in enumerate(base)), *runs])


def exact_wilcoxon(differences):
    """Two-sided p of the signed-rank test by counting all sign patterns."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = ranks[np.array(differences) > 0].sum()
    middle = ranks.sum() / 2
    sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return float(np.mean([abs(value - middle) >= abs(observed - middle) - 1e-9 for value in sums]))


def test_a_method_has_the_median_over_songs(results):
    assert results.value("B0", "vocals", "SDR") == 4.5
    assert math.isnan(results.value("B0", "other", "SIR"))
    assert results.methods == ["P-L3:D", "B0"]
    assert results.stems == ["other", "vocals"]


def test_the_comparison_is_paired_by_song_and_its_p_is_exact(results):
    difference = results.compare("P-L3:D", "B0", "vocals", "SDR")
    assert difference.songs == SONGS
    assert difference.median_db == pytest.approx(0.45)
    assert difference.better == SONGS
    assert difference.p_value == pytest.approx(exact_wilcoxon([0.1 * n for n in range(1, SONGS + 1)]))
    assert results.compare("P-L3:D", "B0", None, "SDR").median_db == pytest.approx(0.45)


def test_songs_that_only_one_method_has_do_not_count(results):
    more = Results([*results.runs, run(99, "P-L3:D", 50.0)])
    assert more.left_out == ["song 99"]
    assert more.value("P-L3:D", "vocals", "SDR") == results.value("P-L3:D", "vocals", "SDR")


def test_methods_stand_in_the_order_of_the_paper():
    names = ["B0", "B-L3:D", "P-L5:D", "P-L1:D"]
    runs = [run(0, name, 1.0) for name in names]
    runs += [run(0, f"P-L3:D {x}", 1.0, strategy="P-L3:D", silence_weight=x) for x in (10.0, 0.1)]
    assert Results(runs).methods == ["P-L1:D", "P-L3:D 0.1", "P-L3:D 10.0", "P-L5:D", "B-L3:D", "B0"]


def test_equal_methods_have_no_p(results):
    assert math.isnan(results.compare("B0", "B0", "vocals", "SDR").p_value)


def test_the_papers_table_is_copied_right():
    assert paper_value("P-L3:D", "other", "SDR") == 6.1
    assert paper_value("B0", "vocals", "SIR") == 18.9
    assert paper_value("P-L5:D", "drums", "ISR") == 11.4
    assert math.isnan(paper_value("B-L3:D", "other", "SDR"))
    assert {len(source) for row in PAPER_TABLE_1.values() for source in row} == {4}


def test_the_table_shows_ours_the_papers_and_the_difference(results):
    lines = table_1(results).splitlines()
    vocals = lines[lines.index("**vocals** (8 songs)") + 2 :]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in vocals]
    assert cells[0][:5] == ["", "#TP", "SDR", "paper", "diff."]
    assert cells[3][:5] == ["B0", "-", "4.5", "6.3", "-1.8"]
    assert cells[2][:5] == ["P-L3:D", "2.9M", "4.8", "5.9", "-1.1"]
    assert len({len(line) for line in vocals}) == 1


def test_the_comparison_table_names_the_songs(results):
    assert "+0.45 (8/8, p 0.0078)" in comparison_table(results, "B0", "SDR")
    assert plain_table(results) == ""


def test_csv_and_json_hold_every_number(results, tmp_path):
    write_csv(results, tmp_path / "songs.csv")
    with (tmp_path / "songs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * SONGS * 2
    row = next(r for r in rows if (r["song"], r["method"], r["stem"]) == ("song 4", "P-L3:D", "vocals"))
    assert (row["SDR"], row["SIR"], row["SAR"]) == ("9.500", "10.000", "")
    write_json(results, tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["B0"]["stems"]["vocals"]["SDR"] == {"median_db": 4.5, "songs": SONGS}


def test_figures_are_made_of_what_there_is(results, tmp_path):
    pytest.importorskip("matplotlib")
    swept = [
        run(song, f"P-L3:M lambda={value:g}", value, strategy="P-L3:M", silence_weight=value)
        for value in (0.1, 1)
        for song in range(SONGS)
    ]
    paths = write_figures(Results([*results.runs, *swept]), tmp_path)
    assert [path.name for path in paths] == ["figure-2.svg", "sweep-lambda-P-L3M.svg"]
    first = paths[0].read_bytes()
    assert b"unadapted (B0)" in first
    write_figures(results, tmp_path)
    assert paths[0].read_bytes() == first  # the same results, the same file


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(BadAudioError, match="evaluate run"):
        read_results(tmp_path)
    (tmp_path / "scores" / "song").mkdir(parents=True)
    (tmp_path / "scores" / "song" / "B0.json").write_text("{}")
    with pytest.raises(BadAudioError, match=r"B0.json holds no scores"):
        read_results(tmp_path)
