"""Writes tests/data/ensembles: two short pieces in URMP layout, of scores that no training has heard.

Needs what `ugosa-server train cunet-data` needs, and its `scores.json`:

    python tests/data/make_ensembles.py DATA_FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile

from ugosa_research.songs.ensembles.dataset import TRAINING_SOUNDFONTS
from ugosa_research.songs.ensembles.instruments import instrument_named
from ugosa_research.songs.ensembles.player import EnsemblePlayer, Room
from ugosa_research.songs.ensembles.scores import Score, ScoreNote, split_of
from ugosa_research.songs.ensembles.takes import Take, render_take

RATE_HZ = 11025
DURATION_S = 12.5  # two segments of 65,535 samples
OUT = Path(__file__).parent / "ensembles"
SOUNDFONT = TRAINING_SOUNDFONTS[0].path  # FluidR3, MIT: what is rendered with it can lie in this repository
PIECES = (("01", ("flute", "cello"), (0, 3)), ("02", ("violin", "clarinet", "horn", "tuba"), (0, 1, 2, 3)))


def main(data):
    """Render each piece on the first test chorales with enough parts."""
    entries = json.loads((data / "scores.json").read_text())
    chorales = [e for e in entries if e["name"].startswith("bach.") and split_of(e["name"]) == "test"]
    player = EnsemblePlayer()
    for (number, names, parts), entry in zip(
        PIECES, [e for e in chorales if len(e["parts"]) == 4], strict=False
    ):
        score = Score(
            entry["name"],
            tuple(tuple(ScoreNote(**note) for note in part) for part in entry["parts"]),
            entry["statement"],
        )
        players = tuple(instrument_named(name) for name in names)
        fonts, room = (0,) * len(parts), Room(0.4, 0.4, 0.2)
        take = Take(number, score.name, 0.0, 80.0, 0, parts, players, fonts, room, (0, 2, 0))
        title = score.name.split(".", 1)[1].replace(".", "").replace("-", "")
        piece = "_".join([number, title, *(instrument.abbreviation for instrument in players)])
        folder = OUT / piece
        folder.mkdir(parents=True, exist_ok=True)
        stems = render_take(take, score, (SOUNDFONT,), player, DURATION_S, RATE_HZ)
        for k, (instrument, stem) in enumerate(zip(players, stems, strict=True), start=1):
            name = f"AuSep_{k}_{instrument.abbreviation}_{number}_{title}.wav"
            soundfile.write(folder / name, stem, RATE_HZ, subtype="IMA_ADPCM")
        decoded = [soundfile.read(path)[0] for path in sorted(folder.glob("AuSep_*"))]
        soundfile.write(folder / f"AuMix_{piece}.wav", np.sum(decoded, axis=0), RATE_HZ, subtype="PCM_16")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
