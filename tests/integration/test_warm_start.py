"""Changing one mark: jobs go on from what an earlier one has learned, and it can be had as a file."""

import json
import zlib
from dataclasses import replace

import pytest

from tests.helpers.jobs import LONG, silent
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobPhase, Mark, Progress, SeparationRequest
from ugosa_client.cli import main
from ugosa_client.errors import BadInputError, BadOptionError, OutputExistsError, WrongStateError
from ugosa_client.resources import JobOptions, StemEncoding

RATE = 44100
DRUMS = Mark.silent("drums", 0.2, 1.0)
VOCALS = Mark.silent("vocals", 0.5, 1.9)
AUTO = JobOptions(model="tiny", start_from="auto", learning_rate=1e-3, guard=False)


@pytest.fixture
def song(tmp_path, request):
    """A song that no other test has sent."""
    return write_song(
        make_song(2 * RATE, RATE, seed=zlib.crc32(request.node.name.encode()) % 1000), tmp_path / "song.wav"
    )


@pytest.fixture
def separate(client, song, tmp_path):
    """Return the finished job of marks and options, and its stems."""

    def run(marks, options=AUTO, **values):
        request = SeparationRequest(song, marks=marks, options=options, **values)
        separation = client.separate(request, tmp_path / "out")
        return separation.job, {name: path.read_bytes() for name, path in separation.files.stems.items()}

    return run


def test_one_mark_more_goes_on_from_the_newest_job(separate, client):
    first, _ = separate([VOCALS], replace(AUTO, epochs=2))
    assert first.options.start_from == "none"
    assert first.adapter is not None
    second, stems = separate([VOCALS, DRUMS])
    assert (second.options.start_from, second.options.epochs) == (first.job_id, 3)
    notices = [event.message for event in client.watch(second.job_id) if hasattr(event, "message")]
    assert f"goes on from what {first.job_id} has learned" in notices
    repeated, again = separate(second.marks, second.options)
    assert repeated.job_id != second.job_id
    assert again == stems
    cold, of_cold = separate([VOCALS, DRUMS], replace(AUTO, start_from="none", epochs=3))
    assert cold.options.start_from == "none"
    assert of_cold != stems


def test_a_removed_or_turned_mark_starts_cold(separate):
    separate([VOCALS, DRUMS])
    assert separate([DRUMS])[0].options.start_from == "none"
    first, _ = separate([VOCALS])
    wider = [Mark.silent("vocals", 0.4, 1.9)]
    assert separate(wider)[0].options.start_from == first.job_id
    turned = [Mark.active("vocals", 0.5, 1.9), DRUMS]
    assert separate(turned)[0].options.start_from == "none"
    assert separate([VOCALS], replace(AUTO, preset="paper"))[0].options.start_from == "none"
    assert separate([VOCALS], replace(AUTO, strategy="P-L4:D"))[0].options.start_from == "none"


def test_what_changes_nothing_learned_is_not_learned_again(separate):
    first, stems = separate([VOCALS])
    pcm = replace(AUTO, stems=("vocals",))
    for _ in range(2):  # the second time, the newest job is one that learned nothing
        again, of_again = separate([VOCALS], pcm)
        assert (again.options.start_from, again.options.epochs) == (first.job_id, 0)
        assert of_again["vocals"] == stems["vocals"]
        pcm = replace(pcm, stem_encoding=StemEncoding.WAV_FLOAT32, overlap=0.0)


def test_another_filter_is_learned_for_where_remixes_pass_it(separate):
    remixes = replace(AUTO, strategy="R-L5:D", wiener_exponent=0.0)
    separate([VOCALS], remixes)
    assert separate([VOCALS], remixes)[0].options.epochs == 0
    filtered, _ = separate([VOCALS], replace(remixes, wiener_exponent=1.0))
    assert (filtered.options.start_from != "none", filtered.options.epochs) == (True, 3)


def test_an_adapter_as_a_file_gives_the_same_stems_bit_for_bit(separate, client, song, tmp_path, capsys):
    job, stems = separate([VOCALS], replace(AUTO, start_from="none", epochs=1))
    path = tmp_path / "song.ugosa"
    assert main(["adapter", "get", job.job_id, "-o", str(path), "--server", client.target]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert path.stat().st_size == job.adapter.size_bytes
    with pytest.raises(OutputExistsError, match="--overwrite"):
        client.fetch_adapter(job.job_id, path)
    client.delete(job.job_id)  # the file stands for itself
    marks = tmp_path / "marks.txt"
    marks.write_text("0.5\t1.9\tno vocals\n")
    words = ["separate", str(song), "--marks", str(marks), "--model", "tiny", "--start-from", str(path)]
    words += ["--epochs", "0", "-o", str(tmp_path / "again"), "--server", client.target, "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["job"]["options"]["start_from"].startswith("upload-")
    for name, data in stems.items():
        assert (tmp_path / "again" / f"{name}.wav").read_bytes() == data
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert report["adaptation"]["adapter_sha256"] == job.adapter.sha256
    assert report["options"]["start_from"] == result["job"]["options"]["start_from"]


def test_adapters_that_do_not_fit_are_refused_before_any_work(separate, client, tmp_path):
    job, _ = separate([VOCALS], replace(AUTO, epochs=1))
    path = client.fetch_adapter(job.job_id, tmp_path / "song.ugosa")
    explicit = replace(AUTO, start_from=job.job_id)
    with pytest.raises(BadOptionError, match=r"vocals is silent from 0:00\.5.* not marked any more"):
        separate([DRUMS], explicit)
    with pytest.raises(BadOptionError, match="leave the strategy out"):
        separate([VOCALS], replace(explicit, strategy="P-L5:D"))
    with pytest.raises(BadOptionError, match="let epochs be 0"):
        separate([VOCALS], replace(explicit, strategy="B0"))
    other = write_song(make_song(2 * RATE, RATE, seed=5), tmp_path / "other.wav")
    for start in (explicit, replace(AUTO, start_from=client.upload(other).upload_id)):
        with pytest.raises(BadOptionError, match=r"another song|is no adapter"):
            client.submit(SeparationRequest(other, marks=[VOCALS], options=start))
    with pytest.raises(BadOptionError, match="must be auto, none"):
        separate([VOCALS], replace(AUTO, start_from="newest"))
    (tmp_path / "no.ugosa").write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInputError, match="no adapter of a job"):
        separate([VOCALS], adapter=tmp_path / "no.ugosa")
    base, _ = separate([], JobOptions(strategy="B0"))
    with pytest.raises(BadOptionError, match="has no adapter"):
        separate([VOCALS], replace(AUTO, start_from=base.job_id))


def test_an_accepted_job_is_gone_on_from(client, song):
    endless = replace(AUTO, epochs=LONG.epochs, segment_s=LONG.segment_s, hop_s=LONG.hop_s)
    request = SeparationRequest(song, marks=[VOCALS], options=endless, reuse=True)
    job = client.submit(request)
    for event in client.watch(job.job_id):
        if isinstance(event, Progress) and event.phase is JobPhase.ADAPTATION and event.step:
            client.accept(job.job_id)
    assert client.get_job(job.job_id).adapter is not None
    again = client.submit(request)  # not answered by stems of fewer steps than it asks for
    assert (again.options.start_from, again.options.epochs) == (job.job_id, LONG.epochs)
    client.cancel(again.job_id)
    assert list(client.watch(again.job_id))


def test_what_a_waiting_job_starts_from_cannot_go(separate, client, song):
    first, _ = separate([VOCALS], replace(AUTO, epochs=1))
    path = client.fetch_adapter(first.job_id, song.with_suffix(".ugosa"))
    upload = client.upload(song)
    busy = client.create_job(upload.upload_id, marks=[silent("vocals", 0, RATE)], options=LONG)
    waiting = client.submit(SeparationRequest(song, marks=[VOCALS, DRUMS], options=AUTO))
    other = client.submit(SeparationRequest(song, marks=[VOCALS], options=AUTO, adapter=path))
    assert other.options.start_from.startswith("upload-")
    with pytest.raises(WrongStateError, match=f"{waiting.job_id} starts from"):
        client.delete(first.job_id)
    with pytest.raises(WrongStateError, match=f"{other.job_id} needs"):
        client.delete_upload(other.options.start_from)
    with pytest.raises(BadOptionError, match="make a new job"):
        client.set_marks(waiting.job_id, ())
    for job in (busy, waiting, other):
        client.cancel(job.job_id)
    for job in (busy, waiting, other):
        assert list(client.watch(job.job_id))
    client.delete(first.job_id)
    client.delete_upload(other.options.start_from)
