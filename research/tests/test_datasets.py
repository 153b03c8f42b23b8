"""Songs with stems are found in every layout, and read as they are."""

import av
import numpy as np
import pytest
import soundfile

from ugosa_research.evaluation.datasets import SOURCES, find_songs, marks_of_network, stems_of_network
from ugosa_research.evaluation.stem_reading import decode_stems
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.errors import BadAudioError
from ugosa_server.marks import Mark, MarkState

RATE_HZ = 44_100
FRAMES = 22_050


def tone(frequency_hz, frames=FRAMES):
    """[T, 2] float32."""
    wave = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / RATE_HZ)
    return np.stack([wave, 0.5 * wave], axis=-1).astype(np.float32)


def write(folder, rate_hz=RATE_HZ, **stems):
    """Stems by file name, `name__suffix=samples`; wav when there is no suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in stems.items():
        stem, _, suffix = name.partition("__")
        soundfile.write(folder / f"{stem}.{suffix or 'wav'}", samples, rate_hz)


def write_stem_mp4(path, stems):
    """Five AAC streams, the mixture first, as MUSDB18 has them."""
    with av.open(str(path), "w", format="mp4") as container:
        for _ in range(5):
            stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
            stream.bit_rate = 256_000
        for stream, samples in zip(container.streams, (sum(stems), *stems), strict=True):
            for start in range(0, len(samples), 1024):
                block = np.ascontiguousarray(samples[start : start + 1024].T)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE_HZ, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def test_musdb18_hq_is_found_without_its_mixture(tmp_path):
    stems = {source: tone(100 * number) for number, source in enumerate(SOURCES, start=1)}
    write(tmp_path / "train" / "A song", mixture=tone(1), **stems)
    write(tmp_path / "test" / "Another", mixture=tone(1), **stems)
    songs = find_songs(tmp_path)
    assert [song.name for song in songs] == ["Another", "A song"]
    assert [stem.name for stem in songs[0].stems] == list(SOURCES)
    assert all(stem.sources == (stem.name,) for stem in songs[0].stems)


def test_a_stem_mp4_gives_its_four_sources(tmp_path):
    stems = [tone(frequency) for frequency in (200.0, 300.0, 400.0, 500.0)]
    write_stem_mp4(tmp_path / "My song.stem.mp4", stems)
    (song,) = find_songs(tmp_path)
    assert song.name == "My song"
    decoded = decode_stems(song, tmp_path)
    for source, truth in zip(decoded, stems, strict=True):
        assert (source.sample_rate_hz, source.channels) == (RATE_HZ, 2)
        with SourceFrames(source) as frames:
            heard = frames[4096:16_384]
        assert np.abs(heard - truth[4096:16_384]).max() < 0.03  # AAC


def test_an_mp4_with_one_stream_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "mix.stem.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BadAudioError, match=r"5 audio streams.*has 1$"):
        decode_stems(find_songs(tmp_path)[0], tmp_path)


def test_a_game_song_is_guitar_against_the_rest(tmp_path):
    write(tmp_path / "song one", guitar__ogg=tone(300), song__ogg=tone(100))
    (song,) = find_songs(tmp_path)
    assert [(stem.name, stem.sources) for stem in song.stems] == [
        ("other", ("other",)),
        ("rest", ("drums", "bass", "vocals")),
    ]
    assert stems_of_network(song.stems, SOURCES) == song.stems


def test_one_missing_source_is_the_rest_itself(tmp_path):
    write(tmp_path / "song", drums=tone(1), bass=tone(2), other=tone(3), accompaniment__flac=tone(4))
    (song,) = find_songs(tmp_path)
    assert song.stems[-1].name == "vocals"
    assert song.stems[-1].path.endswith("accompaniment.flac")


def test_songs_of_one_name_are_told_apart(tmp_path):
    for album in ("one", "two"):
        write(tmp_path / album / "intro", vocals=tone(300), rest=tone(100))
    assert [song.name for song in find_songs(tmp_path)] == ["one-intro", "two-intro"]


def test_incomplete_stems_are_refused_by_name(tmp_path):
    write(tmp_path / "song", drums=tone(1), bass=tone(2))
    with pytest.raises(BadAudioError, match=r"bass, drums, but none of other, vocals"):
        find_songs(tmp_path)


def test_a_folder_without_songs_is_refused(tmp_path):
    with pytest.raises(BadAudioError, match="no song with stems"):
        find_songs(tmp_path)
    with pytest.raises(BadAudioError, match="not a folder"):
        find_songs(tmp_path / "nowhere")


def test_stems_of_two_rates_are_refused(tmp_path):
    write(tmp_path / "song", guitar=tone(300))
    write(tmp_path / "song", rate_hz=48_000, song=tone(100))
    with pytest.raises(BadAudioError, match=r"44100 Hz.*48000 Hz"):
        decode_stems(find_songs(tmp_path)[0], tmp_path)


def test_stems_must_hold_what_the_model_separates(tmp_path):
    write(tmp_path / "song", guitar=tone(300), song=tone(100))
    (song,) = find_songs(tmp_path)
    with pytest.raises(BadAudioError, match="piano"):
        stems_of_network(song.stems, (*SOURCES, "piano"))


def test_a_rest_is_the_accompaniment_of_a_network_of_two(tmp_path):
    write(tmp_path / "song", vocals=tone(300), rest=tone(100))
    (song,) = find_songs(tmp_path)
    stems = stems_of_network(song.stems, ("vocals", "accompaniment"))
    assert [stem.sources for stem in stems] == [("vocals",), ("accompaniment",)]
    vocals, *rest = (Mark(name, MarkState.SILENT, 0, 9) for name in ("vocals", "drums", "bass", "other"))
    assert marks_of_network([vocals, *rest], song.stems, stems) == (
        vocals,
        Mark("accompaniment", MarkState.SILENT, 0, 9),
    )


def test_an_isolated_guitar_does_not_tell_the_accompaniment(tmp_path):
    write(tmp_path / "song", guitar=tone(300), song=tone(100))
    (song,) = find_songs(tmp_path)
    with pytest.raises(BadAudioError, match="accompaniment"):
        stems_of_network(song.stems, ("vocals", "accompaniment"))
