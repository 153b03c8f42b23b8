"""Pieces in URMP layout, the paper's metrics and tables, and labels that must be those of the sources."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from research.tests.helpers.tiny_solos import CLASSES, save_tiny_urmp
from ugosa_research.evaluation.bss_eval import BssReference
from ugosa_research.evaluation.cunet.experiment import CunetScores, score_pieces
from ugosa_research.evaluation.cunet.metrics import energy_db, sd_sdr_db, segment_scores, si_sdr_db
from ugosa_research.evaluation.cunet.systems import (
    ALL_ONES,
    IBM,
    INPUT_MIX,
    RIGHT,
    VIDEO,
    Segment,
    bounds,
    network_system,
)
from ugosa_research.evaluation.cunet.tables import (
    TABLE_1,
    TABLE_2,
    TABLE_3,
    paper_tables,
    system_for,
)
from ugosa_research.evaluation.plain_metrics import sd_sdr_db as plain_sd_sdr_db
from ugosa_research.evaluation.plain_metrics import si_sdr_db as plain_si_sdr_db
from ugosa_research.evaluation.urmp import check_labels, find_pieces, labels_of, read_piece, video_of
from ugosa_server.cli import main
from ugosa_server.errors import ConfigError
from ugosa_server.models.checkpoints import save_checkpoint
from ugosa_server.models.cunet.config import ConditionedUNetConfig
from ugosa_server.models.cunet.front_end import magnitudes, masks_of_logits, spectrum, values, waveform
from ugosa_server.models.cunet.network import ConditionedUNet
from ugosa_server.video.features import write_feature_file

DUO, DOUBLED, LONE = ("cello", "flute"), ("flute", "tuba", "flute"), ("flute", "flute")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_urmp(tmp_path_factory.mktemp("urmp"), (DUO, DOUBLED, LONE))


@pytest.fixture(scope="module")
def pieces(folder):
    return find_pieces(folder)


def test_parts_of_an_instrument_are_summed_lone_ones_left_out(pieces):
    assert [piece.instruments for piece in pieces] == [("cello", "flute"), ("flute", "tuba")]
    audio = read_piece(pieces[1], CLASSES)
    assert audio.sources.shape == (3, len(audio.mix))
    assert np.abs(audio.sources.sum(axis=0) - audio.mix).max() < 1e-5
    assert not audio.sources[CLASSES.index("cello")].any()


def test_labels_are_those_of_the_piece_and_all_ones_are_refused(pieces):
    audio = read_piece(pieces[0], CLASSES)
    labels = labels_of(pieces[0], CLASSES)
    assert labels.tolist() == [1, 1, 0]
    check_labels(pieces[0], audio, labels)
    with pytest.raises(ConfigError, match="are not those of the sources"):
        check_labels(pieces[0], audio, np.ones(3))


def test_empty_folder_and_unknown_instrument_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="no pieces of two or more instruments in URMP layout"):
        find_pieces(tmp_path)
    with pytest.raises(ConfigError, match="which the model does not know"):
        read_piece(find_pieces(folder)[0], ("cello", "tuba"))


def test_metrics_are_the_plain_ones_but_for_a_floor():
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(size=(2, 4000))
    prediction = 0.3 * truth + 0.1 * noise
    assert si_sdr_db(truth, prediction) == pytest.approx(plain_si_sdr_db(truth, prediction), abs=1e-6)
    assert sd_sdr_db(truth, prediction) == pytest.approx(plain_sd_sdr_db(truth, prediction), abs=1e-6)
    alpha = prediction @ truth / (truth @ truth)
    by_hand = 10 * np.log10(alpha**2 * (truth @ truth) / np.sum((alpha * truth - prediction) ** 2))
    assert si_sdr_db(truth, prediction) == pytest.approx(by_hand, abs=1e-6)
    assert si_sdr_db(truth, np.zeros(4000)) == pytest.approx(-80)
    assert sd_sdr_db(truth, np.zeros(4000)) == pytest.approx(-80)
    assert energy_db(np.zeros(4000)) == pytest.approx(-80)
    assert energy_db(np.full(100, 0.1)) == pytest.approx(0, abs=1e-6)


def test_pes_and_eps_count_where_one_side_is_exactly_silent():
    rng = np.random.default_rng(0)
    sound, silence = rng.normal(size=1000), np.zeros(1000)
    truths = np.stack([sound, silence, sound, silence])
    predictions = np.stack([sound, sound, silence, silence])
    values = segment_scores(truths, predictions, None)
    assert values["PES"] == [pytest.approx(energy_db(sound))]
    assert values["EPS"] == [pytest.approx(energy_db(sound))]
    assert len(values["SI-SDR"]) == 2
    assert values["SDR"] == []


def test_bss_eval_of_a_segment_is_of_the_sources_that_sound():
    rng = np.random.default_rng(0)
    truths = np.stack([rng.normal(size=6000), np.zeros(6000), rng.normal(size=6000)])
    predictions = truths + 0.1 * truths[::-1]
    reference = BssReference(truths[[0, 2]][:, :, None], filter_length=32)
    values = segment_scores(truths, predictions, reference)
    assert len(values["SDR"]) == 2
    assert values["SIR"] == pytest.approx([20, 20], abs=0.5)  # a tenth of the other source
    assert min(values["SAR"]) > 30


def test_ideal_masks_are_far_above_the_mix(pieces):
    scores = CunetScores(bounds())
    done = list(score_pieces(pieces, bounds(), CLASSES, scores, with_bss=False))
    assert [progress.segments for progress in done] == [2, 2]
    figures = {entry.system: entry.figures for entry in scores.figures()}
    assert figures[IBM]["SI-SDR"].mean > figures[INPUT_MIX]["SI-SDR"].mean + 10
    assert figures[IBM]["PES"].values == 0  # exactly silent where nobody plays
    assert figures[INPUT_MIX]["PES"].values == 4
    assert figures[INPUT_MIX]["SI-SDR"].values == 8


def tiny_network(**choices):
    torch.manual_seed(0)
    config = ConditionedUNetConfig(instruments=CLASSES, first_channels=1, **choices)
    return ConditionedUNet(config).eval()


def test_multiplied_mask_is_silent_for_absent_instruments(pieces):
    network = tiny_network(conditioning="label-multiply")
    audio = read_piece(pieces[0], CLASSES)
    segment = Segment(audio.mix[:65535], audio.sources[:, :65535], labels_of(pieces[0], CLASSES))
    for kind in ("soft", "hard", "shared"):
        right = network_system("net", network, kind=kind).predict(segment)
        assert not right[2].any()
    everyone = network_system("net", network, labels=ALL_ONES).predict(segment)
    assert everyone[2].any()


def test_every_row_of_the_paper_has_its_numbers_and_its_network():
    assert [row.row_id for row in TABLE_1] == ["U", "L", *"1234567385", "9", "3"]
    assert [row.row_id for row in TABLE_2["log"]] == ["1", "13", "14", "15", "16"]
    assert TABLE_2["linear"][4].paper[0] == (-2.8, 8.6)
    assert TABLE_3[0].paper == TABLE_1[2].paper
    assert TABLE_1[0].paper[2] is None


def test_a_network_is_put_in_the_row_of_its_kind():
    film = network_system("film", tiny_network())
    hard = network_system("film", tiny_network(), kind="hard")
    told_all = network_system("film", tiny_network(), labels=ALL_ONES)
    linear = network_system("linear", tiny_network(frequency_scale="linear"))
    systems = [*bounds(), told_all, film, hard, linear]
    found = {row.row_id: system_for(row, systems) for rows in TABLE_2.values() for row in rows}
    assert found["14"] is hard  # the paper's masks are binary there
    assert found["9"] is linear
    assert {number for number, system in found.items() if system is not None} == {"9", "14"}
    assert system_for(TABLE_1[0], systems).name == IBM
    assert all(system_for(row, systems) is None for row in TABLE_3)


def test_networks_that_see_are_put_in_the_rows_of_table_3():
    seeing = {
        "2": network_system("tuned", tiny_network(context="frame", visual_fine_tuning=True), labels=VIDEO),
        "3": network_system("15", tiny_network(context="frames", context_frames=15), labels=VIDEO),
    }
    found = {row.method + row.row_id: system_for(row, list(seeing.values())) for row in TABLE_3}
    assert found.pop("FiLM-bottleneck-ft1") is seeing["2"]
    assert found.pop("FiLM-bottleneck15") is seeing["3"]
    assert not any(found.values())


def test_a_network_that_sees_is_shown_the_windows_of_the_piece(folder, tmp_path, capsys):
    """Drawn features, which change from the first window to the second: they prove the way, no benefit."""
    pieces = tmp_path / "pieces"
    shutil.copytree(folder / "01_Piece_vc_fl", pieces / "01_Piece_vc_fl")
    models = tmp_path / "models"
    models.mkdir()
    network = tiny_network(context="frame", conditioning="film-final")
    save_checkpoint(models / "tiny-seen.safetensors", network.state_dict(), network.config)
    command = ["evaluate", "cunet", "--pieces", str(pieces), "--out", str(tmp_path / "out"), "--no-bss"]
    options = ["--model", "tiny-seen", "--model-dir", str(models)]
    assert main([*command, *options]) == 2
    assert "has no Vid_*.npz beside it" in capsys.readouterr().err
    vectors = [np.full(2048, value, np.float32) for value in (0.1, 0.9)]
    write_feature_file(pieces / "01_Piece_vc_fl" / "Vid_01.npz", [1, 1], [0.0, 5.9], vectors)
    assert main([*command, *options]) == 0
    assert "| tiny-seen, hard masks, video (trained on ratio masks, 1 instead" in capsys.readouterr().out

    (piece,) = find_pieces(pieces)
    audio, seen = read_piece(piece, CLASSES), video_of(piece)
    system = network_system("tiny-seen", network, labels=VIDEO)
    segment = Segment(audio.mix[65535:131070], audio.sources[:, 65535:131070], labels_of(piece, CLASSES), 1.0)
    late, early = (
        system.predict(dataclasses.replace(segment, start=start, video=seen)) for start in (65535, 0)
    )
    context = torch.zeros(1, 7, 2048)
    context[:, 1] = 0.9
    with torch.inference_mode():
        frames = spectrum(torch.from_numpy(segment.mix).float()[None])
        heard = values(magnitudes(frames, network.config), network.config)
        masks = masks_of_logits(network.mask_logits(heard, context), network.config)
        expected = waveform(masks * frames.unsqueeze(1), 65535)[0].numpy()
    assert np.allclose(late, expected, atol=2e-3)  # features are kept in float16
    assert np.abs(early - late).max() > 0.01


def test_command_prints_paper_tables_and_writes_figures(folder, tmp_path, capsys):
    models = tmp_path / "models"
    models.mkdir()
    network = tiny_network()
    save_checkpoint(models / "tiny-film.safetensors", network.state_dict(), network.config)
    command = ["evaluate", "cunet", "--pieces", str(folder), "--out", str(tmp_path / "out")]
    options = ["--model", "tiny-film", "--model-dir", str(models), "--max-pieces", "1"]
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    for words in ("**Table 1**", "**Table 3**", "Sound-of-Pixels weights", "needs videos", "-45.6 ± 30.1"):
        assert words in printed
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert kept["systems"][f"tiny-film, soft masks, {RIGHT}"]["SI-SDR"]["values"] == 4
    assert kept["pieces"] == ["01_Piece_vc_fl"]


def test_tables_say_what_is_not_run():
    text = paper_tables([], [])
    assert text.count("not run: needs") == 9
    assert "no such model given" in text
