"""`ugosa marks convert`: what it writes, and what it refuses. It needs no server."""

import json

import pytest
import soundfile

from ugosa_client.cli import main
from ugosa_client.marks.file import read_regions

LABELS = "0.500000\t1.250000\tno vocals\n2.000000\t3.000000\tonly drums, bass\n"
NAMES = ["no vocals", "only drums, bass"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text(LABELS)
    return tmp_path


def convert(capsys, *arguments):
    code = main(["marks", "convert", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    "out", ["o.csv", "o.rpp", "o.jams", "o.lab", "o.mid", ("o.x", "--format", "sonic-visualiser")]
)
def test_names_and_times_go_from_program_to_program(folder, capsys, out):
    out, *options = (out,) if isinstance(out, str) else out
    code, result = convert(capsys, "in.txt", out, *options)
    assert (code, result["regions"]) == (0, 2)
    regions = sorted(read_regions(folder / out), key=lambda region: region.start.value)
    assert [region.name for region in regions] == NAMES
    assert [region.start.frame(48000) for region in regions] == [24000, 96000]
    code, _ = convert(capsys, out, "back.txt")
    assert code == 0
    assert sorted((folder / "back.txt").read_text().splitlines()) == LABELS.splitlines()


def test_a_file_in_samples_needs_a_rate(folder, capsys):
    (folder / "in.csv").write_text("#,Name,Start,End,Length\nR1,no vocals,24000,60000,36000\n")
    code, result = convert(capsys, "in.csv", "out.txt")
    assert code == 2
    assert "--rate or --song" in result["error"]["message"]
    assert not (folder / "out.txt").exists()
    code, _ = convert(capsys, "in.csv", "out.txt", "--rate", "48000")
    assert (code, (folder / "out.txt").read_text()) == (0, "0.500000\t1.250000\tno vocals\n")


def test_the_song_says_rate_and_length(folder, capsys):
    soundfile.write("song.wav", [0.0] * 48000 * 2, 48000)
    code, result = convert(capsys, "in.txt", "out.csv", "--song", "song.wav")
    assert code == 2
    assert "line 2" in result["error"]["message"]
    assert "the song ends at 0:02.0" in result["error"]["message"]


def test_a_file_that_is_there_is_not_replaced_unasked(folder, capsys):
    (folder / "out.csv").write_text("mine")
    assert convert(capsys, "in.txt", "out.csv")[0] == 2
    assert (folder / "out.csv").read_text() == "mine"
    assert convert(capsys, "in.txt", "out.csv", "--overwrite")[0] == 0


def test_regions_go_into_a_copy_of_a_project(folder, capsys):
    (folder / "mine.rpp").write_text('<REAPER_PROJECT 0.1 "7.0" 0\n  TEMPO 97 4 4\n>\n')
    assert convert(capsys, "in.txt", "out.rpp", "--into", "mine.rpp")[0] == 0
    assert "TEMPO 97 4 4" in (folder / "out.rpp").read_text()
    assert [region.name for region in read_regions(folder / "out.rpp")] == NAMES
    assert convert(capsys, "in.txt", "out.csv", "--into", "mine.rpp")[0] == 2
