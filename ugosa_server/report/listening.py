"""Audio players for the excerpt: each stem as the base network gave it and as the adapted one did."""

from __future__ import annotations

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from html import escape

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ugosa_server.report.data import JobReport, Preview
from ugosa_server.report.lanes import source_colour
from ugosa_server.report.wording import clock

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # MPEG-1, -2 and -2.5
MP3_COMPRESSION = 0.4  # of libsndfile's 0 to 1: about 130 kbit/s of variable rate for stereo music


@dataclass(frozen=True)
class _Row:
    name: str
    colour: str
    base: npt.NDArray[np.float32] | None  # [C, n]
    adapted: npt.NDArray[np.float32]  # [C, n]


def listening_room(report: JobReport, preview: Preview) -> str:
    """Return the players as HTML, with the audio inside as data URIs."""
    # The stems add up to the mix, so the excerpt of the mix need not be carried separately.
    rows = [_Row("mix", "var(--mix)", None, preview.adapted.sum(axis=0))]
    for index, stem in enumerate(report.stems):
        base = None if preview.base is None else preview.base[index]
        rows.append(_Row(stem.source, source_colour(index), base, preview.adapted[index]))
    start_s = preview.start_frame / report.sample_rate_hz
    length_s = preview.adapted.shape[-1] / report.sample_rate_hz
    song_s = report.frames / report.sample_rate_hz
    compared = preview.base is not None
    heads = "<th>before adaptation</th><th>after adaptation</th>" if compared else "<th>stem</th>"
    with ThreadPoolExecutor() as pool:  # encoding is most of a report's time, and libsndfile leaves the GIL
        body = "".join(pool.map(partial(_row, report.sample_rate_hz, compared), rows))
    return (
        f'<div class="room" data-start="{start_s:.6f}" data-song="{song_s:.6f}">'
        f"<p>{length_s:.0f} s from {clock(start_s)}. Switch while it plays: the position stays.</p>"
        f'<table class="takes"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def audio_data_uri(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> str:
    """Return audio [C, n] as a data URI that browsers play: MP3, or FLAC where libsndfile has no MP3."""
    playable = np.clip(audio.T, -1.0, 1.0)  # [n, C]; codecs wrap or distort what is above full scale
    buffer = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        rate_hz = sample_rate_hz
        if rate_hz not in MP3_RATES_HZ:
            rate_hz = 44100 if rate_hz % 44100 == 0 else 48000
            playable = soxr.resample(playable, sample_rate_hz, rate_hz)
        soundfile.write(
            buffer,
            playable,
            rate_hz,
            format="MP3",
            compression_level=MP3_COMPRESSION,
            bitrate_mode="VARIABLE",
        )
        kind = "audio/mpeg"
    else:
        soundfile.write(buffer, playable, sample_rate_hz, format="FLAC", subtype="PCM_16")
        kind = "audio/flac"
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _row(sample_rate_hz: int, compared: bool, row: _Row) -> str:
    head = f'<th scope="row"><i class="dot"></i>{escape(row.name)}</th>'
    if not compared:
        cells = _take(row.name, row.adapted, sample_rate_hz)
    elif row.base is None:  # the mix: nothing was adapted about it
        cells = _take(row.name, row.adapted, sample_rate_hz, columns=2)
    else:
        cells = _take(f"{row.name} before adaptation", row.base, sample_rate_hz)
        cells += _take(f"{row.name} after adaptation", row.adapted, sample_rate_hz)
    return f'<tr style="--colour:{row.colour}">{head}{cells}</tr>'


def _take(name: str, audio: npt.NDArray[np.float32], sample_rate_hz: int, columns: int = 1) -> str:
    said, uri = escape(name), audio_data_uri(audio, sample_rate_hz)
    player = f'<audio controls preload="auto" aria-label="{said}" src="{uri}"></audio>'
    return f'<td class="take" colspan="{columns}">{player}</td>'
