"""The `ugosa` command: what it writes where, and how it exits."""

import csv
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ugosa_client.cli import main
from ugosa_client.cli.batch import only_batch_into
from ugosa_client.wire.ugosa.v1 import job_pb2

SUCCEEDED, FAILED = job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED
SOURCES = ("drums", "bass", "other", "vocals")


@pytest.fixture
def songs(tmp_path):
    """A directory with three songs, one of them with marks, and files that are no songs."""
    folder = tmp_path / "my songs"
    folder.mkdir()
    for number, name in enumerate(("a.wav", "b.wav", "b.flac")):
        soundfile.write(folder / name, np.full((44100, 2), number / 10), 44100)
    (folder / "a.txt").write_text("0.25\t0.5\tno vocals\n")
    (folder / "._a.wav").write_bytes(b"a resource fork")
    (folder / "notes.md").write_text("no song")
    return folder


def json_lines(capsys):
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line) for line in captured.out.splitlines()]


def test_separate_brings_stems_and_prints_their_paths(server, songs, tmp_path, capsys):
    server.outcomes["a.wav"] = SUCCEEDED
    out = tmp_path / "out"
    assert main(["separate", str(songs / "a.wav"), "--marks", str(songs / "a.txt"), "-o", str(out)]) == 0
    captured = capsys.readouterr()
    names = [*(f"{source}.wav" for source in SOURCES), "report.json", "report.html"]
    assert captured.out.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert "epoch 1/3, loss 0.5, 0:01:01 left" in captured.err


def test_a_marks_file_is_read_once_so_that_it_may_be_a_pipe(server, songs, tmp_path, capsys):
    pipe = tmp_path / "marks"
    os.mkfifo(pipe)
    rows = "#,Name,Start,End,Length\nR1,no vocals,0:00.000,0:00.010,0:00.010\nR2,Verse,0:00.0,0:00.1,0:00.1\n"
    writer = threading.Thread(target=pipe.write_text, args=(rows,))
    writer.start()
    assert main(["submit", str(songs / "a.wav"), "--marks", str(pipe), "--json"]) == 0
    writer.join()
    lines = json_lines(capsys)
    assert len(lines[-1]["job"]["marks"]) == 1
    assert ["'Verse'" in line["message"] for line in lines if line["event"] == "message"] == [True]


def test_a_folder_that_takes_no_file_costs_no_upload(server, songs, capsys):
    assert main(["separate", str(songs / "a.wav"), "-o", "/proc/out"]) == 2
    error = capsys.readouterr().err
    assert "nothing can be written in /proc" in error
    assert "Errno" not in error
    assert not server.uploads


def test_json_has_one_object_a_line_and_the_result_last(server, songs, tmp_path, capsys):
    server.outcomes["a.wav"] = SUCCEEDED
    arguments = ["separate", str(songs / "a.wav"), "-o", str(tmp_path / "out"), "--json"]
    assert main(arguments) == 0
    lines = json_lines(capsys)
    events = [line["event"] for line in lines]
    assert list(dict.fromkeys(events)) == ["upload", "job", "progress", "state", "fetch", "result"]
    assert lines[-1]["job"]["state"] == "succeeded"
    assert Path(lines[-1]["files"][0]).read_bytes() == b"drums of a.wav"
    progress = next(line for line in lines if line["event"] == "progress")
    assert (progress["phase"], progress["eta_s"], progress["loss"]["total"]) == ("adaptation", 61.0, 0.5)


def test_every_job_option_has_its_flag(server, songs, capsys):
    flags = {
        "--model": "tiny",
        "--preset": "low-rate",
        "--strategy": "P-L2:M",
        "--lambda": "0.5",
        "--lr": "1e-4",
        "--epochs": "3",
        "--segment": "6",
        "--hop": "2",
        "--batch-size": "4",
        "--pitch-shifts": "1",
        "--remix-weight": "2",
        "--marks-weight": "0.5",
        "--steps": "40",
        "--for": "1.5m",
        "--guard": "off",
        "--calibration": "off",
        "--memory": "1.5 GB",
        "--start-from": "none",
        "--seed": "7",
        "--separation-segment": "10",
        "--overlap": "0.5",
        "--shifts": "2",
        "--wiener": "0.8",
        "--masks": "hard",
        "--format": "flac-pcm24",
        "--base-stems": "early",
        "--preview-start-frame": "5",
        "--preview-end-frame": "10",
        "--stems": "vox",
        "--page": "off",
        "--instruments": "Kit, vox",
    }
    words = [word for pair in flags.items() for word in pair]
    assert main(["submit", str(songs / "a.wav"), "--request-id", "mine", "--json", *words]) == 0
    job = json_lines(capsys)[-1]["job"]
    assert job["request_id"] == "mine"
    assert list(job["options"].values()) == [
        *(
            "tiny",
            "low-rate",
            "P-L2:M",
            0.5,
            1e-4,
            3,
            6.0,
            2.0,
            4,
            1,
            2.0,
            0.5,
            40,
            90.0,
            *(False, False),
            "none",
            1_500_000_000,
            7,
            10.0,
            0.5,
            2,
            0.8,
            "hard",
        ),
        "flac-pcm24",
        "early",
        *(5, 10),
        ["vocals"],
        False,
        ["drums", "vocals"],
        *([], []),  # features and pictures are not sent back
        None,  # a video
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--audition", "early"], "take both --audition DIR and --audition-span"),
        (["--audition-span", "0-1"], "take both --audition DIR and --audition-span"),
        (["--audition", "early", "--audition-span", "0-1", "--detach"], "leave out --detach"),
        (["--audition", "early", "--audition-span", "0-1", "--from", "1"], "leave out --from and --to"),
        (["--audition", "early", "--audition-span", "1"], "'1' is no stretch such as 1:00-1:10"),
    ],
)
def test_an_audition_that_cannot_be_is_refused(server, songs, tmp_path, capsys, words, says):
    with suppress(SystemExit):  # of argparse
        assert main(["separate", str(songs / "a.wav"), "-o", str(tmp_path / "out"), *words]) == 2
    assert says in capsys.readouterr().err
    assert not server.uploads


@pytest.mark.parametrize(("outcome", "code"), [(FAILED, 1), (CANCELLED, 4)])
def test_a_job_without_stems_has_its_exit_status(server, songs, tmp_path, capsys, outcome, code):
    server.outcomes["a.wav"] = outcome
    arguments = ["separate", str(songs / "a.wav"), "-o", str(tmp_path / "out"), "--json"]
    assert main(arguments) == code
    result = json_lines(capsys)[-1]
    assert (result["event"], result["ok"], result["exit_code"]) == ("result", False, code)
    assert result["job"]["job_id"] == "j1"
    assert not (tmp_path / "out").exists()


def test_regions_that_are_no_marks_are_named(server, songs, tmp_path, capsys):
    server.outcomes["a.wav"] = SUCCEEDED
    rows = ["#,Name,Start,End,Length", "R1,no vocals,0:00.000,0:00.010,0:00.010"]
    rows += [f"R{n},Verse {n},0:00.000,0:00.010,0:00.010" for n in range(2, 9)]
    (songs / "regions.csv").write_text("\n".join(rows) + "\n")
    words = ["separate", str(songs / "a.wav"), "--marks", str(songs / "regions.csv")]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "left out: 'Verse 2', 'Verse 3', 'Verse 4', 'Verse 5', 'Verse 6' and 2 more (" in said


def test_bad_input_exits_with_2_and_says_why(server, songs, tmp_path, capsys):
    (songs / "bad.txt").write_text("0\t0.5\tno vocls\n")
    arguments = ["separate", str(songs / "a.wav"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--marks", str(songs / "bad.txt")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "bad.txt, line 1: unknown source 'vocls'; did you mean 'vocals'?" in captured.err
    assert main(["watch", "nothing"]) == 2
    assert "no job 'nothing'" in capsys.readouterr().err
    assert main([*arguments, "--start-from", "gone.ugosa"]) == 2
    captured = capsys.readouterr()
    assert "gone.ugosa: that is neither auto, none nor a job, and no file is there" in captured.err
    assert "upload" not in captured.err
    with pytest.raises(SystemExit, match="2"):
        main(["separate", "a.wav", "-o", "out", "--format", "wma"])
    known = "choose from wav-float32, wav-pcm24, flac-pcm24, mp3, ogg)"
    assert known in capsys.readouterr().err.replace("'", "")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["seperate", "a.wav"], "'separate'"),
        (["marks", "convret"], "'convert'"),
        (["submit", "a.wav", "--masks", "sofd"], "'soft'"),
        (["separate", "a.wav", "--marsk", "a.txt", "-o", "out"], "'--masks' or '--marks'"),
        (["batch", "songs", "-o", "out", "--recursvie"], "'--recursive'"),
        (["marks", "lint", "a.wav", "-marks", "a.txt"], "'--marks'"),
    ],
)
def test_a_mistyped_word_is_told_the_nearest(words, near, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert f"; did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["separate"], ["batch", "-o", "out"], ["marks", "lint", "--marks", "a.txt"]]
)
def test_a_word_too_many_is_told_with_the_way_out(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*words, "my", "song.wav"])
    said = capsys.readouterr().err
    assert f"usage: ugosa {words[0]}" in said
    assert "'song.wav' is one word too many; a name with spaces stands in quotes" in said


def test_an_option_after_two_dashes_is_told_as_a_surplus_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["separate", "--", "-a song.wav", "--page", "off"])
    said = capsys.readouterr().err
    assert "unrecognized arguments: --page off" in said
    assert "did you mean" not in said


def test_a_command_to_copy_quotes_the_names_in_it(server, songs, tmp_path, capsys):
    server.outcomes["a.wav"] = SUCCEEDED
    out = tmp_path / "my stems"
    assert main(["separate", str(songs / "a.wav"), "-o", str(out), "--no-page"]) == 0
    assert f" -o '{out}'` makes a page" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("separate", "--marks --out --model --stems --for --format --server --json --overwrite"),
        (
            "batch",
            "--out --check --recursive --forget --name --page --model --stems --for --format --server --json"
            " --overwrite",
        ),
    ],
)
def test_short_help_has_what_most_need_and_the_long_one_all(command, flags, capsys):
    for flag, has_all in (("--help", False), ("--help-all", True)):
        with pytest.raises(SystemExit, match="0"):
            main([command, flag])
        shown = set(re.findall(r"(?<=[\s\[])--[a-z][a-z-]+", capsys.readouterr().out))
        assert {*flags.split(), "--help", "--help-all"} <= shown
        assert (shown == {*flags.split(), "--help", "--help-all"}) is not has_all
        assert ("--players" in shown) is has_all


def test_numbers_that_the_protocol_cannot_carry_are_bad_input(server, songs, tmp_path, capsys):
    song = ["separate", str(songs / "a.wav"), "-o", str(tmp_path / "out")]
    for flag in ("--epochs", "--seed"):
        assert main([*song, flag, "9" * 20]) == 2
        assert f"{flag[2:]} cannot be {'9' * 20}" in capsys.readouterr().err
    for words, says in (
        (["jobs", "--limit", "-1"], "not a number from 0 on"),
        (["watch", "j1", "--after", "9" * 20], "not a number from 0 on"),
        ([*song, "--for", "1e999"], "longer than any song"),
        ([*song, "--memory", "9" * 400], "more than any machine has"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert says in capsys.readouterr().err


def test_names_that_the_terminal_cannot_show_are_escaped(server, songs, tmp_path):
    song = songs / os.fsdecode("日\udcff.wav".encode(errors="surrogateescape"))
    (songs / "a.wav").rename(song)
    server.outcomes["日?.wav"] = SUCCEEDED

    def ugosa(*words):
        command = [sys.executable, "-m", "ugosa_client.cli", *words]
        environment = os.environ | {"PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    separated = ugosa("separate", str(song), "-o", str(tmp_path / "日"), "--json")
    assert separated.returncode == 0
    files = json.loads(separated.stdout.splitlines()[-1])["files"]
    assert all(Path(file).is_file() for file in files)
    listed = ugosa("jobs")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "\\u65e5?.wav" in listed.stdout
    unknown = ugosa("watch", os.fsdecode(b"\xff"))
    assert (unknown.returncode, unknown.stderr) == (2, "ugosa: '\\udcff' is no text in UTF-8\n")


def test_no_server_exits_with_3(tmp_path, capsys):
    assert main(["jobs", "--server", f"unix:{tmp_path}/none", "--json"]) == 3
    (result,) = json_lines(capsys)
    assert "ugosa-server serve" in result["error"]["message"]


def test_a_server_that_goes_away_leaves_the_way_back(server, songs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ugosa_client.connection.time.sleep", lambda _: None)
    server.outcomes["a.wav"] = SUCCEEDED
    server.breaks = [None] + [0] * 100
    out = tmp_path / "my stems"
    assert main(["separate", str(songs / "a.wav"), "-o", str(out)]) == 3
    assert f"`ugosa watch j1` and `ugosa fetch j1 -o '{out}'` come back to it" in capsys.readouterr().err


def test_damaged_results_exit_with_5(server, tmp_path, capsys):
    server.add_succeeded_job("j", {"drums": b"drums"})
    server.files["j", "drums"] = b"drumz"
    assert main(["fetch", "j", "-o", str(tmp_path / "out")]) == 5
    assert "sha256" in capsys.readouterr().err


def test_jobs_are_watched_listed_cancelled_and_deleted(server, songs, capsys):
    assert main(["submit", str(songs / "a.wav")]) == 0
    assert capsys.readouterr().out.strip() == "j1"
    assert main(["jobs"]) == 0
    assert "a.wav" in capsys.readouterr().out
    assert main(["jobs", "--state", "failed"]) == 0
    assert "no jobs" in capsys.readouterr().out
    assert main(["cancel", "j1"]) == 0
    assert "j1 is cancelled" in capsys.readouterr().out
    server.events["j1"] = []
    assert main(["watch", "j1"]) == 4
    assert main(["delete", "j1"]) == 0
    assert main(["models"]) == 0
    assert "tiny (default)" in capsys.readouterr().out


def test_a_batch_separates_what_it_can_and_tells_of_the_rest(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": FAILED, "b.flac": SUCCEEDED}
    out = tmp_path / "out"
    assert main(["batch", str(songs), "-o", str(out)]) == 1
    error = capsys.readouterr().err
    assert "1 of 3 songs failed" in error
    assert "notes.md is left out: no audio file" in error
    assert "the worker died twice" in error
    assert sorted(path.name for path in out.iterdir()) == ["a", "b.flac", "summary.csv"]
    assert (out / "b.flac" / "bass.wav").read_bytes() == b"bass of b.flac"
    assert not (out / "a" / "report.html").exists()  # without --page on
    marks = {job.file_name: len(job.marks.marks) for job in server.jobs.values()}
    assert marks == {"a.wav": 1, "b.wav": 0, "b.flac": 0}


def test_a_batch_takes_a_song_whose_name_is_no_text(server, songs, tmp_path, capsys):
    name = os.fsdecode("b\udcff.wav".encode(errors="surrogateescape"))
    (songs / "b.wav").rename(songs / name)
    server.outcomes |= {"a.wav": SUCCEEDED, "b?.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    words = ["batch", str(songs), "-o", str(tmp_path / "out")]
    assert main([*words, "--check"]) == 0
    assert main([*words, "--json"]) == 0
    rows = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["a.wav", "b.flac", "b\\udcff.wav"]


def test_a_batch_again_tries_only_what_failed(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": FAILED, "b.flac": SUCCEEDED}
    arguments = ["batch", str(songs), "-o", str(tmp_path / "out"), "--json"]
    assert main(arguments) == 1
    capsys.readouterr()
    server.outcomes["b.wav"] = SUCCEEDED
    server.starts = []
    assert main(arguments) == 0
    lines = json_lines(capsys)
    assert sorted(job.file_name for job in server.jobs.values()) == ["a.wav", "b.flac", "b.wav", "b.wav"]
    assert {line["song"] for line in lines[:-1] if line["event"] != "message"} == {"a.wav", "b.wav", "b.flac"}
    assert [song["exit_code"] for song in lines[-1]["songs"]] == [0, 0, 0]
    assert lines[-1]["left_out"] == [{"name": "notes.md", "why": "no audio file"}]
    assert (tmp_path / "out" / "b.wav" / "bass.wav").read_bytes() == b"bass of b.wav"


def test_a_batch_counts_only_what_it_computed(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    arguments = ["batch", str(songs), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "3 computed, " in capsys.readouterr().out
    assert main(arguments) == 0
    assert "0 computed, 0 an hour; 3 were there already" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open(newline="")))
    assert [(row["song"], row["result"], row["marks"], row["computed"]) for row in rows] == [
        ("a.wav", "ok", "1", "no"),
        ("b.flac", "ok", "0", "no"),
        ("b.wav", "ok", "0", "no"),
    ]
    assert [Path(row["folder"]).name for row in rows] == ["a", "b.flac", "b.wav"]


def test_a_recursive_batch_takes_the_songs_of_all_folders(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    (songs / "live").mkdir()
    (songs / "live" / "a.wav").write_bytes((songs / "a.wav").read_bytes())
    (songs / "live" / "a.txt").write_text("0.1\t0.5\tno bass\n")
    (songs / "live" / "cover.jpg").write_bytes(b"no song")
    out = songs / "stems"
    for _ in range(2):  # the results of the first run are not songs of the second one
        assert main(["batch", str(songs), "-o", str(out), "--recursive"]) == 0
    assert "live/cover.jpg is left out: no audio file" in capsys.readouterr().err
    assert (out / "live" / "a" / "bass.wav").exists()
    assert {row["song"] for row in csv.DictReader((out / "summary.csv").open(newline=""))} == {
        "a.wav",
        "b.wav",
        "b.flac",
        os.path.join("live", "a.wav"),
    }
    assert len(server.jobs) == 4


def test_a_check_finds_every_bad_marks_file_and_makes_no_job(server, songs, tmp_path, capsys):
    (songs / "b.txt").write_text("0\t0.5\tno vocls\n")
    (songs / "a.txt").write_text("0.5\t9\tno vocals\n")
    (songs / "b.flac").unlink()
    arguments = ["batch", str(songs), "-o", str(tmp_path / "out"), "--check"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "2 of 2 songs cannot be separated as they are" in error
    assert "did you mean 'vocals'?" in error
    assert "ends at 0:09.0, but the song ends at 0:01.0" in error
    (songs / "b.txt").unlink()
    (songs / "a.txt").unlink()
    (songs / "c.wav").write_text("no song")
    assert main(arguments) == 2
    assert "c.wav: it is no WAV file that can be read" in capsys.readouterr().err
    (songs / "c.wav").unlink()
    assert main([*arguments, "--json"]) == 0
    result = json_lines(capsys)[-1]
    assert result["stems_bytes"] == 2 * 44100 * 2 * 4 * 4  # songs, frames, channels, stems, bytes
    assert not server.jobs
    assert not (tmp_path / "out").exists()


def test_two_batches_do_not_write_into_one_folder(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    words = ["batch", str(songs), "-o", str(tmp_path / "out")]
    with only_batch_into(tmp_path / "out"):
        assert main(words) == 2
        assert f"another `ugosa batch` writes into {tmp_path / 'out'}; " in capsys.readouterr().err
    assert main(words) == 0


def test_a_summary_without_room_leaves_the_table(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    (tmp_path / "out" / "summary.csv").mkdir(parents=True)
    assert main(["batch", str(songs), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "3 computed" in said
    assert "summary.csv cannot be written: Is a directory" in said


def test_a_batch_needs_a_folder_it_can_write_into(server, songs, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    for out in (tmp_path / "out", "/proc/new"):
        assert main(["batch", str(songs), "-o", str(out)]) == 2
        assert " folder for the results" in capsys.readouterr().err
    assert not server.uploads


def test_a_batch_whose_output_nobody_reads_blames_no_song(server, songs, tmp_path):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    (songs / "notes.md").unlink()  # what is shown first is shown for a song
    out = tmp_path / "out"
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "ugosa_client.cli", "batch", str(songs), "-o", str(out)]
    batch = subprocess.run(command, stderr=write_end, stdout=subprocess.DEVNULL, check=False)
    os.close(write_end)
    assert batch.returncode == 130
    assert not (out / "summary.csv").exists()


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff"])
def test_a_check_finds_a_song_whose_copy_broke_off(server, songs, tmp_path, capsys, kind):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (44100, 2))
    soundfile.write(songs / f"c.{kind}", noise, 44100)
    check = ["batch", str(songs), "-o", str(tmp_path / "out"), "--check"]
    assert main(check) == 0
    whole = (songs / f"c.{kind}").read_bytes()
    (songs / f"c.{kind}").write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    assert main(check) == 2
    assert f"\nc.{kind}: the {kind.upper()} file is damaged or cut short; " in capsys.readouterr().err


def test_a_check_finds_a_song_of_more_than_two_channels(server, songs, tmp_path, capsys):
    soundfile.write(songs / "c.wav", np.zeros((44100, 6)), 44100)
    assert main(["batch", str(songs), "-o", str(tmp_path / "out"), "--check"]) == 2
    assert "\nc.wav: the audio has 6 channels; songs of 1 or 2 are accepted" in capsys.readouterr().err


def test_a_check_takes_a_song_whose_length_was_never_written(server, songs, tmp_path):
    data = bytearray((songs / "a.wav").read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    (songs / "a.wav").write_bytes(data)
    assert main(["batch", str(songs), "-o", str(tmp_path / "out"), "--check"]) == 0


def test_other_marks_or_options_make_other_jobs(server, songs, tmp_path):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    arguments = ["batch", str(songs), "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    (songs / "a.txt").write_text("0.25\t0.5\tno bass\n")
    assert main(arguments) == 0
    assert len(server.jobs) == 4
    assert main([*arguments, "--epochs", "2"]) == 0
    assert len(server.jobs) == 7
    assert len(server.uploads) == 3


def test_batch_refuses_two_marks_files_of_a_song_and_goes_on(server, songs, tmp_path, capsys):
    server.outcomes |= {"a.wav": SUCCEEDED, "b.wav": SUCCEEDED, "b.flac": SUCCEEDED}
    (songs / "a.csv").write_text("#,Name,Start,End,Length\n")
    assert main(["batch", str(songs), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "a.txt and a.csv; keep one" in error
    assert "1 of 3 songs failed; mend what the table lists" in error
    assert len(server.jobs) == 2


def test_a_directory_without_songs_is_bad_input(server, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["batch", str(tmp_path / "empty"), "-o", str(tmp_path / "out")]) == 2
    assert "has no audio files" in capsys.readouterr().err
