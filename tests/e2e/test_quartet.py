"""A quartet goes to a real server with the Conditioned U-Net: stems of the players that marks name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.jobs import silent
from tests.helpers.players import jpeg_header
from tests.helpers.server import Server
from tests.helpers.songs import peak_dbfs, read_audio, write_song
from tests.helpers.tiny_cunet import QUARTET, quartet
from ugosa_client import (
    JobOptions,
    Mark,
    MarkState,
    Notice,
    PlayerPicture,
    SeparationRequest,
    UgosaClient,
)
from ugosa_client.cli import main
from ugosa_client.errors import BadInputError, BadOptionError, WrongStateError

FRAMES = 3 * 44_100
OPTIONS = JobOptions(model="cunet-tiny", strategy="B0", instruments=QUARTET)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(quartet(FRAMES), tmp_path_factory.mktemp("song") / "quartet.wav")


def stems_of(client: UgosaClient, song: Path, out: Path, marks=(), options=OPTIONS):
    result = client.separate(SeparationRequest(song, marks=marks, options=options), out)
    return {name: read_audio(path) for name, path in result.files.stems.items()}


def test_a_removed_mark_changes_its_stretch_only(client: UgosaClient, song: Path, tmp_path: Path):
    kept = silent("violin", 0, 30_000)
    removed = silent("viola", 50_000, 100_000)
    before = stems_of(client, song, tmp_path / "before", [kept, removed])
    after = stems_of(client, song, tmp_path / "after", [kept])
    assert list(before) == [*QUARTET, "residual"]
    for stems in (before, after):
        np.testing.assert_array_equal(sum(stems.values()), read_audio(song))
        assert peak_dbfs(stems["violin"][: 30_000 - 441]) <= -90
    outside = np.r_[0:50_000, 100_000:FRAMES]
    inside = slice(60_000, 90_000)
    for name in before:
        np.testing.assert_allclose(before[name][outside], after[name][outside], rtol=0, atol=2**-20)
    assert peak_dbfs(before["viola"][inside]) <= -90
    assert peak_dbfs(after["viola"][inside]) > -60
    # The network is told who is absent, so it makes other masks of those that play.
    assert np.abs(before["cello"][inside] - after["cello"][inside]).max() > 1e-3


CHORALE = Path(__file__).parents[1] / "data" / "ensembles" / "02_bwv1407_vn_cl_hn_tba"
PLAYERS = {"violin": "1_vn", "clarinet": "2_cl", "horn": "3_hn", "tuba": "4_tba"}


@pytest.mark.parametrize("model", ["cunet-film", "cunet-multiply"])
def test_a_rendered_quartet_with_the_shipped_weights(client: UgosaClient, tmp_path: Path, model: str):
    mix_path = CHORALE / "AuMix_02_bwv1407_vn_cl_hn_tba.wav"
    mix = read_audio(mix_path)
    _, rate_hz = soundfile.read(mix_path, stop=1)
    options = JobOptions(model=model, instruments=tuple(PLAYERS))
    kept = silent("horn", 0, 2 * rate_hz)
    removed = silent("tuba", 5 * rate_hz, 9 * rate_hz)
    before = stems_of(client, mix_path, tmp_path / "before", [kept, removed], options)
    after = stems_of(client, mix_path, tmp_path / "after", [kept], options)
    assert sorted(before) == sorted([*PLAYERS, "residual"])
    for stems in (before, after):
        np.testing.assert_array_equal(sum(stems.values()), mix)
        assert peak_dbfs(stems["horn"][: round(1.98 * rate_hz)]) <= -90

    # What the network has learned: on the whole, stems are nearer to the parts played alone than the mix is.
    unmarked = slice(2 * rate_hz, None)
    gains_db = []
    for name, number in PLAYERS.items():
        part, _ = soundfile.read(next(CHORALE.glob(f"AuSep_{number}_*.wav")), always_2d=True)
        stem, truth = after[name][unmarked], part[unmarked]
        gains_db.append(si_sdr_db(stem, truth) - si_sdr_db(mix[unmarked], truth))
    assert np.mean(gains_db) > 2, gains_db

    outside = np.r_[0 : 5 * rate_hz, 9 * rate_hz : len(mix)]
    inside = slice(6 * rate_hz, 8 * rate_hz)
    for name in before:
        np.testing.assert_allclose(before[name][outside], after[name][outside], rtol=0, atol=2**-20)
    assert peak_dbfs(before["tuba"][inside]) <= -90
    assert peak_dbfs(after["tuba"][inside]) > -40
    assert np.abs(before["horn"][inside] - after["horn"][inside]).max() > 1e-3


def si_sdr_db(estimate: np.ndarray, truth: np.ndarray) -> float:
    target = (estimate * truth).sum() / np.square(truth).sum() * truth
    return float(10 * np.log10(np.square(target).sum() / np.square(target - estimate).sum()))


def test_from_the_shell_with_everyday_names(shared_server: Server, song: Path, tmp_path: Path, capsys):
    marks = tmp_path / "marks.txt"
    marks.write_text("0.5\t1.5\tno Violins\n2.0\t2.5\tonly celli\n", encoding="utf-8")
    arguments = ["separate", "--server", shared_server.target, str(song), "--marks", str(marks)]
    arguments += ["--model", "cunet-tiny", "--instruments", "Violins, vc", "--strategy", "B0"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    stems = {path.stem: read_audio(path) for path in (tmp_path / "out").glob("*.wav")}
    assert sorted(stems) == ["cello", "residual", "violin"]
    np.testing.assert_array_equal(sum(stems.values()), read_audio(song))
    only_cello = slice(round(2.02 * 44_100), round(2.48 * 44_100))
    np.testing.assert_array_equal(stems["cello"][only_cello], read_audio(song)[only_cello])


def test_the_marks_say_who_plays_if_no_list_does(client: UgosaClient, song: Path, tmp_path: Path):
    marks = [silent("flute", 0, 20_000), Mark("viola", MarkState.ACTIVE, 0, 10_000)]
    options = JobOptions(model="cunet-tiny", strategy="B0")
    events = []
    result = client.separate(
        SeparationRequest(song, marks=marks, options=options), tmp_path, on_event=events.append
    )
    assert list(result.files.stems) == ["flute", "viola", "residual"]
    notices = {event.reason: event.message for event in events if isinstance(event, Notice)}
    assert "flute, viola below 5.5 kHz" in notices["RESIDUAL"]
    assert result.job.options.instruments == ()


def test_adaptation_keeps_the_promises(client: UgosaClient, song: Path, tmp_path: Path):
    options = JobOptions(model="cunet-tiny", preset="film-only", epochs=1, instruments=("cello", "violin"))
    marks = [silent("violin", 0, 60_000)]
    stems = stems_of(client, song, tmp_path, marks, options)
    np.testing.assert_array_equal(sum(stems.values()), read_audio(song))
    assert peak_dbfs(stems["violin"][: 60_000 - 441]) <= -90


def test_what_cannot_be_is_refused_before_any_work(client: UgosaClient, song: Path):
    upload = client.upload(song)
    for options, marks, message in (
        (JobOptions(model="cunet-tiny", instruments=("piano",)), (), "no instrument 'piano'"),
        (JobOptions(model="tiny", instruments=("drums",)), (), "no choice of instruments"),
        (OPTIONS, (Mark("tuba", MarkState.ACTIVE, 0, 9),), "tuba is marked active, but the instruments are"),
    ):
        with pytest.raises(BadOptionError, match=message):
            client.create_job(upload.upload_id, options=options, marks=marks)
    with pytest.raises(BadInputError, match="unknown source 'violine'; did you mean 'violin'"):
        client.separate(
            SeparationRequest(song, options=JobOptions(model="cunet-tiny", instruments=("violine",))), "never"
        )


def test_pictures_want_a_server_with_an_encoder(client: UgosaClient, song: Path):
    upload = client.upload(song)
    options = JobOptions(model="cunet-seeing", pictures=(PlayerPicture(0, 0, jpeg_header(9, 9)),))
    with pytest.raises(WrongStateError, match="video_encoder, or you send features") as refusal:
        client.create_job(upload.upload_id, options=options)
    assert refusal.value.reason == "NO_VIDEO_ENCODER"
