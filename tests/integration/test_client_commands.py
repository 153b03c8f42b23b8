"""The `ugosa` command as a musician sees it, against a real server process with a tiny network."""

import json
import os
import shutil
import time
from threading import Barrier, Event

import numpy as np
import pytest

from tests.helpers.songs import SOURCES, make_song, read_audio, write_song
from ugosa_client.cli import batch_work, main
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import ResourceExhaustedError

RATE = 44100
FRAMES = 2 * RATE
FULL_WAIT_S = 0.5


@pytest.fixture
def song(shared_server, tmp_path, monkeypatch):
    """A song on disk, with marks beside it, and the shared server as the default one."""
    monkeypatch.setenv("UGOSA_SERVER", shared_server.target)
    path = tmp_path / "Mein Stück 1.wav"
    write_song(make_song(FRAMES, RATE), path)
    path.with_suffix(".txt").write_text("0.5\t1.9\tno drums\n")
    return path


def test_models_for_ensembles_are_listed_on_request(song, capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert "starter" in said.out
    assert "cunet" not in said.out
    assert " more, for ensembles of orchestral instruments: --all" in said.err
    assert main(["models", "--all"]) == 0
    assert "cunet-film" in capsys.readouterr().out


def test_a_wrong_mark_is_warned_of_on_terminal_and_report(song, tmp_path, capsys):
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--model", "starter"]
    assert main([*words, "--strategy", "B0", "-o", str(tmp_path / "out")]) == 0
    warning = "drums is marked silent, but the model hears it from 0:"
    assert f"warning: {warning}" in capsys.readouterr().err
    (notice,) = json.loads((tmp_path / "out" / "report.json").read_text())["notices"]
    assert notice.startswith(warning)
    assert warning in (tmp_path / "out" / "report.html").read_text()


def test_without_a_folder_stems_come_beside_the_work(song, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["separate", str(song)]) == 0
    assert (tmp_path / "Mein Stück 1-stems" / "vocals.wav").exists()
    assert "warning" not in capsys.readouterr().err


def test_a_page_never_stands_beside_stems_of_another_job(song, tmp_path, capsys):
    first, second = tmp_path / "out", tmp_path / "out-2"
    assert main(["separate", str(song), "-o", str(first)]) == 0
    assert main(["separate", str(song), "--stems", "drums", "--no-page", "-o", str(first)]) == 0
    page, job = (
        (first / "report.html").read_bytes(),
        json.loads((second / "report.json").read_text())["job_id"],
    )
    capsys.readouterr()
    assert main(["report", job, "-o", str(first)]) == 0
    assert capsys.readouterr().out.strip() == str(second / "report.html")
    assert (first / "report.html").read_bytes() == page


def test_a_chosen_stem_comes_with_the_exact_rest(song, tmp_path):
    marks = ["--marks", str(song.with_suffix(".txt")), "--epochs", "1"]
    assert main(["separate", str(song), *marks, "-o", str(tmp_path / "all")]) == 0
    words = ["separate", str(song), *marks, "--stems", "vox", "--name", "{song} - {stem}"]
    assert main([*words, "-o", str(tmp_path / "two")]) == 0
    names = {"Mein Stück 1 - vocals.wav", "Mein Stück 1 - rest.wav", "report.json", "report.html"}
    assert {path.name for path in (tmp_path / "two").iterdir()} == names
    vocals, rest = (
        read_audio(tmp_path / "two" / f"Mein Stück 1 - {stem}.wav") for stem in ("vocals", "rest")
    )
    np.testing.assert_array_equal(vocals, read_audio(tmp_path / "all" / "vocals.wav"))
    np.testing.assert_array_equal(vocals + rest, read_audio(song))
    report = json.loads((tmp_path / "two" / "report.json").read_text())
    assert [stem["source"] for stem in report["stems"]] == ["vocals", "rest"]
    assert report["null_peak_dbfs"] == "-inf"


def test_a_page_is_made_on_demand_with_all_takes(song, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--epochs", "1", "--no-page"]
    assert main([*words, "--name", "{song} - {stem}", "-o", str(out)]) == 0
    assert not (out / "report.html").exists()
    job = json.loads((out / "report.json").read_text())["job_id"]
    assert (
        f"; see {out / 'report.json'}, and `ugosa report {job} -o {out}` makes a" in capsys.readouterr().err
    )
    words = ["report", job, "--name", "{song} - {stem}", "-o", str(out)]
    assert main(words) == 0
    page = (out / "report.html").read_text()
    assert json.dumps("Mein Stück 1 - vocals.wav") in page
    assert "data:audio" not in page
    made = []
    for _ in range(2):  # the second time, the server has done it already
        capsys.readouterr()
        assert main([*words, "--takes", "--json"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        made.append({line["job_id"] for line in lines if line["event"] == "state"})
    assert len(made[0]) == 2
    assert made[0] == made[1]
    assert "takes/marked/vocals.flac" in (out / "report.html").read_text()
    drums = {kind: read_audio(out / "takes" / kind / "drums.flac") for kind in ("base", "marked")}
    marked = slice(round(0.6 * RATE), round(1.8 * RATE))
    assert not drums["marked"][marked].any()
    assert drums["base"][marked].any()
    stems = [read_audio(out / "takes" / "base" / f"{source}.flac") for source in SOURCES]
    np.testing.assert_array_equal(sum(stems), read_audio(song))


def test_stems_that_were_kept_are_a_take_of_the_page(song, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--epochs", "1"]
    assert main([*words, "--base-stems", "kept", "-o", str(out), "--json"]) == 0
    job = json.loads(capsys.readouterr().out.splitlines()[-1])["job"]["job_id"]
    for _ in range(2):
        assert main(["report", job, "-o", str(out), "--takes", "--json"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len({line["job_id"] for line in lines if line["event"] == "state"}) == 1
        page = (out / "report.html").read_text()
        assert '"base/vocals.wav"' in page
        assert '"takes/base/vocals.flac"' in page
        assert read_audio(out / "base" / "vocals.wav").any()
        shutil.rmtree(out / "base")  # the second time, they come from the server


def test_a_page_that_came_before_its_stems_takes_them_beside_it(song, tmp_path, capsys):
    out, own = tmp_path / "out", tmp_path / "own"
    assert main(["separate", str(song), "--strategy", "B0", "-o", str(tmp_path / "first"), "--json"]) == 0
    job = json.loads(capsys.readouterr().out.splitlines()[-1])["job"]["job_id"]
    assert main(["report", job, "-o", str(out)]) == 0
    assert main(["fetch", job, "-o", str(out)]) == 0
    assert read_audio(out / "vocals.wav").any()
    own.mkdir()
    (own / "report.html").write_text("of another program")
    assert main(["report", job, "-o", str(own)]) == 2
    assert (own / "report.html").read_text() == "of another program"
    assert main(["report", job, "-o", str(own), "--overwrite"]) == 0


def test_a_page_beside_files_of_the_user_makes_them_nobody_elses(song, tmp_path, capsys):
    own = tmp_path / "own"
    assert main(["separate", str(song), "--strategy", "B0", "-o", str(tmp_path / "first"), "--json"]) == 0
    job = json.loads(capsys.readouterr().out.splitlines()[-1])["job"]["job_id"]
    own.mkdir()
    (own / "vocals.wav").write_text("a take of mine")
    assert main(["report", job, "-o", str(own)]) == 0
    assert main(["fetch", job, "-o", str(own)]) == 2
    assert (own / "vocals.wav").read_text() == "a take of mine"


def test_a_part_of_the_song_is_cut_with_its_marks(song, tmp_path, capsys):
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--strategy", "B0"]
    assert main([*words, "--from", "0:00.25", "--to", "1.25", "-o", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (mark,) = result["job"]["marks"]
    assert (mark["start_frame"], mark["end_frame"]) == (RATE // 4, RATE)
    stems = [read_audio(tmp_path / "out" / f"{source}.wav") for source in SOURCES]
    np.testing.assert_array_equal(sum(stems), read_audio(song)[RATE // 4 : 5 * RATE // 4])
    assert main([*words, "--from", "1:00", "-o", str(tmp_path / "out")]) == 2
    assert "goes from 0:00.0 to 0:02.0" in capsys.readouterr().err


def test_a_song_whose_name_is_no_text_is_cut_and_encoded(song, tmp_path, capsys):
    odd = song.rename(song.with_name(os.fsdecode(b"caf\xe9.wav")))
    words = ["separate", str(odd), "--strategy", "B0", "--from", "0.5", "--stems", "drums", "--format", "mp3"]
    assert main([*words, "-o", str(odd.with_name(os.fsdecode(b"out\xe9"))), "--json"]) == 0
    assert sorted(path.suffix for path in tmp_path.rglob("*.mp3")) == [".mp3", ".mp3"]


def test_a_second_run_leaves_the_first_and_names_its_folder(song, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["separate", str(song), "--strategy", "B0", "-o", str(out)]
    assert main(words) == 0
    first = (out / "vocals.wav").read_bytes()
    capsys.readouterr()
    assert main([*words, "--wiener", "1"]) == 0
    assert f"listen with {tmp_path / 'out-2' / 'report.html'}" in capsys.readouterr().err
    assert (out / "vocals.wav").read_bytes() == first != (tmp_path / "out-2" / "vocals.wav").read_bytes()
    assert main([*words, "--wiener", "1", "--overwrite"]) == 0
    assert (out / "vocals.wav").read_bytes() == (tmp_path / "out-2" / "vocals.wav").read_bytes()


def test_what_replaces_results_leaves_no_old_stem_among_them(song, tmp_path):
    out = tmp_path / "out"
    assert main(["separate", str(song), "-o", str(out)]) == 0
    (out / "notes.txt").write_text("mine")
    words = ["--stems", "vocals", "--no-page", "--overwrite"]
    assert main(["separate", str(song), "-o", str(out), *words]) == 0
    assert {path.name for path in out.iterdir()} == {"vocals.wav", "rest.wav", "report.json", "notes.txt"}


def test_results_of_another_name_and_takes_are_replaced_too(song, tmp_path, capsys):
    out, named = tmp_path / "out", ["--name", "my {stem}"]
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--epochs", "1", "-o", str(out)]
    assert main([*words, *named, "--json"]) == 0
    job = json.loads(capsys.readouterr().out.splitlines()[-1])["job"]["job_id"]
    assert main(["report", job, "-o", str(out), *named, "--takes"]) == 0
    assert (out / "takes" / "base" / "vocals.flac").exists()
    mine = {out / "my own.wav", out / "takes" / "base" / "notes.txt"}
    for path in mine:
        path.write_text("mine")
    assert main([*words, "--stems", "vocals", "--format", "ogg", "--overwrite"]) == 0
    assert main([*words, "--stems", "vocals", "--no-page", "--overwrite"]) == 0
    its_own = {out / name for name in ("vocals.wav", "rest.wav", "report.json")}
    assert {path for path in out.rglob("*") if path.is_file()} == {*its_own, *mine}
    assert not (out / "takes" / "marked").exists()


def test_an_equal_request_is_answered_with_the_stems_there(song, client, tmp_path, capsys):
    def job_of(*words, out="out"):
        assert main(["separate", str(song), *words, "-o", str(tmp_path / out), "--json"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return lines[-1]["job"]["job_id"], {line["event"] for line in lines}

    write_song(make_song(FRAMES, RATE, seed=78), song)  # which no other test has sent: the first job is cold
    marks = ["--marks", str(song.with_suffix(".txt")), "--epochs", "1"]
    first, events = job_of(*marks)
    assert "progress" in events
    again, events = job_of(*marks)
    assert again == first
    assert "progress" not in events
    other, _ = job_of(*marks, "--lambda", "2")
    song.with_suffix(".txt").write_text("0.5\t1.8\tno drums\n")
    changed, _ = job_of(*marks)
    song.with_suffix(".txt").write_text("0.5\t1.9\tno drums\n")
    forced, _ = job_of(*marks, "--again", out="forced")
    assert len({first, other, changed, forced}) == 4
    assert job_of(*marks)[0] == forced  # the newest
    client.delete(forced)
    assert job_of(*marks)[0] == first
    assert (tmp_path / "out" / "drums.wav").read_bytes() == (tmp_path / "forced" / "drums.wav").read_bytes()


@pytest.mark.parametrize("kind", ["mp3", "ogg"])
def test_lossy_stems_sound_like_the_exact_ones(song, tmp_path, capsys, kind):
    assert main(["separate", str(song), "--format", kind, "-o", str(tmp_path / "out"), "--detach"]) == 0
    assert not (tmp_path / "out").exists()
    words = ["separate", str(song), "--stems", "drums", "--format", kind]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    names = {f"drums.{kind}", f"rest.{kind}", "report.json", "report.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert f"fetched rest.{kind}\n" in capsys.readouterr().err
    mix = read_audio(song)
    stems = [read_audio(tmp_path / "out" / f"{stem}.{kind}")[: len(mix)] for stem in ("drums", "rest")]
    error = sum(stems)[: len(mix)] - mix[: len(stems[0])]
    assert 0 < np.mean(error**2) < 0.05 * np.mean(mix**2)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--name", "a/{stem}"], "has a path in it; name the folder with -o"),
        (["--name", "{song}"], "all stems would be one file; put {stem} into it"),
        (["--name", "{stem} {artist}"], "has the field {artist}; known are {stem} and {song}"),
        (["--name", "{stem"], "cannot be read"),
        (["--stems", "tuba"], "in the list of stems"),
    ],
)
def test_choices_that_cannot_be_are_refused_with_the_reason(song, tmp_path, capsys, words, why):
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), *words]) == 2
    assert why in capsys.readouterr().err


def test_songs_and_usage_say_what_is_stored(song, capsys):
    def run(*words):
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    write_song(make_song(FRAMES, RATE, seed=77), song)  # which no other test has sent
    before = run("usage")["usage"]
    run("submit", str(song))
    (sent, *_) = run("songs")["songs"]
    assert (sent["file_name"], sent["stored_bytes"]) == (song.name, FRAMES * 2 * 4)
    after = run("usage")["usage"]
    assert after["uploads"] == before["uploads"] + 1
    assert after["upload_bytes"] == before["upload_bytes"] + sent["stored_bytes"]
    assert main(["usage"]) == 0
    assert "songs " in capsys.readouterr().out
    (job, *_) = run("jobs")["jobs"]
    assert main(["watch", job["job_id"]]) == 0
    capsys.readouterr()
    left = run("songs", "--delete", sent["upload_id"])["songs"]
    assert sent["upload_id"] not in [upload["upload_id"] for upload in left]


def test_uploads_come_page_by_page(client, song):
    ids = [client.upload(0.1 * np.ones(100 + n), sample_rate_hz=RATE).upload_id for n in range(3)]
    listed = [upload.upload_id for upload in client.list_uploads(page_size=1)]
    assert listed[:3] == ids[::-1]
    assert len(listed) == len(set(listed)) == len(list(client.list_uploads()))


def test_a_batch_without_room_says_forget_once_and_then_goes_on(start_server, tmp_path, monkeypatch, capsys):
    songs = tmp_path / "songs"
    songs.mkdir()
    for number in range(3):
        write_song(make_song(FRAMES, RATE, seed=number), songs / f"{number}.wav")
    server = start_server("--quota-stored-bytes", "5000000")  # a song with its stems takes 3.5 MB
    monkeypatch.setenv("UGOSA_SERVER", server.target)
    batch = ["batch", str(songs), "-o", str(tmp_path / "out")]
    assert main(batch) == 1
    said = capsys.readouterr().err
    assert "2 of 3 songs failed; run the same command again with --forget, which" in said
    assert said.count("--forget") == 1
    begun, waiting, both_wait = Barrier(3), set(), Event()
    say, finish, submit = Reporter.say, UgosaClient.finish, UgosaClient.submit

    def say_and_notice(self, text):
        say(self, text)
        if "the room at the server is full; waiting" in text:
            waiting.add(self)
            if len(waiting) == 2:
                both_wait.set()

    def finish_once_both_wait(*arguments, **options):
        separation = finish(*arguments, **options)
        assert both_wait.wait(60)
        return separation

    def submit_slowly(*arguments, **options):
        if not waiting:
            begun.wait(
                60
            )  # the song that is done makes room, and is to be underway before another is refused
        job = submit(*arguments, **options)
        if both_wait.is_set():  # the room is taken by now, and nobody else at the client knows
            time.sleep(3 * FULL_WAIT_S)
        return job

    monkeypatch.setattr(batch_work, "FULL_WAIT_S", FULL_WAIT_S)
    monkeypatch.setattr(Reporter, "say", say_and_notice)
    monkeypatch.setattr(UgosaClient, "finish", finish_once_both_wait)
    monkeypatch.setattr(UgosaClient, "submit", submit_slowly)
    assert main([*batch, "--forget"]) == 0


def test_a_full_quota_says_the_numbers_and_the_way_out(start_server, tmp_path):
    path = write_song(make_song(FRAMES, RATE), tmp_path / "song.wav")
    with start_server("--quota-stored-bytes", "1000000").client() as client:
        upload = client.upload(path)
        with pytest.raises(ResourceExhaustedError) as caught:
            client.create_job(upload.upload_id)
    assert "songs take 0.7 MB, stems 0.0 MB, and 2.8 MB more do not fit into 1.0 MB" in caught.value.message
    assert "`ugosa songs --delete SONG` and `ugosa delete JOB` make room" in caught.value.message
