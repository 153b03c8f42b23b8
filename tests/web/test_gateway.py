"""Contract of the routes of `ugosa web`, over a real server."""

from __future__ import annotations

import io
import json
import resource
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from tests.web.conftest import Page
from ugosa_client import JobOptions, JobState
from ugosa_client.marks.file import read_marks
from ugosa_client.marks.reaper_project import project_song
from ugosa_client.marks.rpp import parse_rpp

VOCALS_SILENT = {"source": "vocals", "state": "silent", "start_frame": 0, "end_frame": 44100}


async def add_song(page: Page, path: Path) -> dict[str, Any]:
    answer = await page.http.put("/api/songs", params={"name": path.name}, content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return answer.json()


async def events_of(page: Page, job_id: str, after: int = 0) -> list[dict[str, Any]]:
    answer = await page.http.get(f"/api/jobs/{job_id}/events", headers={"last-event-id": str(after)})
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in answer.text.split("\n\n") if b]
    events = [{**json.loads(b["data"]), "id": int(b["id"])} for b in blocks if "id" in b]
    assert blocks[-1]["event"] == "end"
    return events


async def separate(page: Page, song: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Separate a song to its end and return the job."""
    body = {"song": song["upload_id"], "marks": [VOCALS_SILENT], "options": {"strategy": "B0", **options}}
    answer = await page.http.post("/api/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job_id = answer.json()["job_id"]
    await events_of(page, job_id)
    return (await page.http.get(f"/api/jobs/{job_id}")).json()


@pytest.mark.asyncio
async def test_song_goes_in_and_its_peaks_come_out(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    assert (song["file_name"], song["audio"]["frames"]) == (song_path.name, 3 * 44100)
    peaks = np.frombuffer((await page.http.get(f"/api/songs/{song['upload_id']}/peaks")).content, np.int8)
    samples = soundfile.read(song_path, always_2d=True)[0].reshape(300, 441, 2)
    assert len(peaks) == 600
    np.testing.assert_allclose(peaks[1::2] / 127, samples.max(axis=(1, 2)), atol=1 / 127)
    np.testing.assert_allclose(peaks[0::2] / 127, samples.min(axis=(1, 2)), atol=1 / 127)


@pytest.mark.asyncio
async def test_mix_is_read_by_any_range_of_bytes(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    address = f"/api/songs/{song['upload_id']}/mix"
    whole = (await page.http.get(address)).content
    samples, rate = soundfile.read(io.BytesIO(whole), dtype="float32")
    assert rate == 44100
    np.testing.assert_array_equal(samples, soundfile.read(song_path, dtype="float32")[0])
    for first, last in [(0, 43), (10, 99), (44, 51), (47, 1_000_001), (len(whole) - 3, len(whole) + 5)]:
        part = await page.http.get(address, headers={"range": f"bytes={first}-{last}"})
        assert part.status_code == 206
        assert part.content == whole[first : last + 1]
    assert (await page.http.get(address, headers={"range": "bytes=-7"})).content == whole[-7:]
    beyond = await page.http.get(address, headers={"range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")


@pytest.mark.asyncio
async def test_text_that_is_no_audio_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is no song")
    answer = await page.http.put("/api/songs", params={"name": path.name}, content=path.read_bytes())
    assert answer.status_code == 400
    assert answer.json()["reason"] in ("BAD_AUDIO", "UNSUPPORTED_ENCODING")
    assert answer.json()["message"]


@pytest.mark.asyncio
async def test_job_runs_and_its_stems_null_against_the_mix(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    job = await separate(page, song)
    assert job["state"] == JobState.SUCCEEDED
    total = 0.0
    for stem in job["stems"]:
        answer = await page.http.get(f"/api/jobs/{job['job_id']}/stems/{stem['source']}")
        assert len(answer.content) == stem["size_bytes"]
        assert f"{stem['source']}.wav" in answer.headers["content-disposition"]
        total = total + soundfile.read(io.BytesIO(answer.content), dtype="float32")[0].astype(np.float64)
    mix = soundfile.read(song_path, dtype="float32")[0]
    np.testing.assert_array_equal(np.float32(total), mix)


@pytest.mark.asyncio
async def test_stem_is_read_by_range_and_drawn_by_its_peaks(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path))
    address = f"/api/jobs/{job['job_id']}/stems/drums"
    whole = (await page.http.get(address)).content
    part = await page.http.get(address, headers={"range": "bytes=100000-299999"})
    assert part.content == whole[100_000:300_000]
    assert part.headers["content-range"] == f"bytes 100000-299999/{len(whole)}"
    peaks = np.frombuffer((await page.http.get(address + "/peaks")).content, np.int8)
    samples = soundfile.read(io.BytesIO(whole), always_2d=True)[0].reshape(300, 441, 2)
    np.testing.assert_allclose(peaks[1::2] / 127, samples.max(axis=(1, 2)).clip(-1, 1), atol=1 / 127)


@pytest.mark.asyncio
async def test_flac_stem_is_drawn_and_played_as_wav(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path), stem_encoding="flac-pcm24")
    address = f"/api/jobs/{job['job_id']}/stems/bass"
    answer = await page.http.get(address)
    assert answer.headers["content-type"] == "audio/flac"
    assert len((await page.http.get(address + "/peaks")).content) == 600
    played = await page.http.get(address + "/wav")
    assert played.headers["content-type"] == "audio/wav"
    samples = soundfile.read(io.BytesIO(played.content), dtype="float32")[0]
    np.testing.assert_array_equal(samples, soundfile.read(io.BytesIO(answer.content), dtype="float32")[0])
    part = await page.http.get(address + "/wav", headers={"range": "bytes=400003-799999"})
    assert (part.status_code, part.content) == (206, played.content[400_003:800_000])


@pytest.mark.parametrize("encoding", ["flac-pcm24", "wav-float32"])
@pytest.mark.asyncio
async def test_a_stem_that_is_gone_is_refused_in_words(page: Page, song_path: Path, encoding: str) -> None:
    job = await separate(page, await add_song(page, song_path), stem_encoding=encoding, seed=5)
    page.client.delete(job["job_id"])
    for kind in ("wav", "peaks"):
        gone = await page.http.get(f"/api/jobs/{job['job_id']}/stems/vocals/{kind}")
        assert (gone.status_code, "no job" in gone.text) == (404, True)


@pytest.mark.asyncio
async def test_zip_holds_every_stem_whole(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path))
    answer = await page.http.get(f"/api/jobs/{job['job_id']}/stems.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert sizes == {f"{song_path.stem} {s['source']}.wav": s["size_bytes"] for s in job["stems"]}


@pytest.mark.parametrize(("encoding", "suffix"), [("wav-pcm24", "wav"), ("flac-pcm24", "flac")])
@pytest.mark.asyncio
async def test_folder_for_reaper_has_a_track_for_each_stem(
    page: Page, song_path: Path, tmp_path: Path, encoding: str, suffix: str
) -> None:
    song = await add_song(page, song_path)
    job = await separate(page, song, stem_encoding=encoding)
    answer = await page.http.get(f"/api/jobs/{job['job_id']}/projects/reaper")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / f"{song_path.stem} stems"
    project = folder / f"{song_path.stem}.rpp"
    tracks = list(parse_rpp(project.read_text("utf-8")).blocks("TRACK"))
    assert [track.value("NAME", "") for track in tracks] == [stem["source"] for stem in job["stems"]]
    for track, stem in zip(tracks, job["stems"], strict=True):
        (item,) = track.blocks("ITEM")
        (source,) = item.blocks("SOURCE")
        file = folder / source.value("FILE", "")
        assert file.name == f"{song_path.stem} {stem['source']}.{suffix}"
        assert soundfile.info(file).frames == stem["frames"]
        assert float(item.value("LENGTH", "0")) * 44100 == pytest.approx(stem["frames"], abs=0.01)
    sources = [stem["source"] for stem in job["stems"]]
    assert [asdict(mark) for mark in read_marks(project, sources, 44100, 3 * 44100)] == [VOCALS_SILENT]
    assert project_song(project).name == f"{song_path.stem} {sources[0]}.{suffix}"


@pytest.mark.asyncio
async def test_folder_for_audacity_lists_stems_and_has_labels(
    page: Page, song_path: Path, tmp_path: Path
) -> None:
    job = await separate(page, await add_song(page, song_path))
    answer = await page.http.get(f"/api/jobs/{job['job_id']}/projects/audacity")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / f"{song_path.stem} stems"
    listed = (folder / f"{song_path.stem}.lof").read_text("utf-8").splitlines()
    assert listed == [f'file "{song_path.stem} {stem["source"]}.wav"' for stem in job["stems"]]
    assert all((folder / line.split('"')[1]).is_file() for line in listed)
    sources = [stem["source"] for stem in job["stems"]]
    labels = folder / f"{song_path.stem} marks.txt"
    assert [asdict(mark) for mark in read_marks(labels, sources, 44100, 3 * 44100)] == [VOCALS_SILENT]


@pytest.mark.asyncio
async def test_dawproject_has_a_clip_for_each_stem_and_markers(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path))
    answer = await page.http.get(f"/api/jobs/{job['job_id']}/projects/dawproject")
    assert ".dawproject" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        project = ElementTree.fromstring(archive.read("project.xml"))
        metadata = ElementTree.fromstring(archive.read("metadata.xml"))
        stems = {name: soundfile.info(io.BytesIO(archive.read(name))) for name in archive.namelist()[2:]}
    assert metadata.findtext("Title") == song_path.stem
    tracks = {track.get("id"): track for track in project.findall("Structure/Track")}
    master = tracks.pop("master").find("Channel")
    assert master is not None
    assert master.get("role") == "master"
    lanes = project.findall("Arrangement/Lanes/Lanes")
    assert [lane.get("track") for lane in lanes] == list(tracks)
    for lane, stem in zip(lanes, job["stems"], strict=True):
        track, clip = tracks[lane.get("track")], lane.find("Clips/Clip")
        assert clip is not None
        assert track.get("name") == clip.get("name") == stem["source"]
        assert [channel.get("destination") for channel in track] == [master.get("id")]
        audio, file = clip.find("Audio"), clip.find("Audio/File")
        assert audio is not None
        assert file is not None
        there = stems.pop(file.get("path", ""))
        assert float(audio.get("duration", "")) == there.duration == float(clip.get("duration", "")) / 2
        assert (audio.get("channels"), audio.get("sampleRate")) == (str(there.channels), "44100")
    assert not stems
    markers = [(marker.get("name"), marker.get("time")) for marker in project.iter("Marker")]
    assert markers == [("no vocals start", "0.0"), ("no vocals end", "2.0")]  # beats, two a second


@pytest.mark.asyncio
async def test_unknown_project_and_old_preview_are_refused(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path))
    address = f"/api/jobs/{job['job_id']}"
    assert (await page.http.get(f"{address}/projects/cakewalk")).status_code == 404
    stem = f"{address}/stems/vocals/wav"
    assert (await page.http.get(stem, params={"take": "preview", "step": "x"})).status_code == 400
    ended = await page.http.get(stem, params={"take": "preview", "step": "3"})
    assert (ended.status_code, "no preview" in ended.json()["message"]) == (404, True)


@pytest.mark.asyncio
async def test_events_go_on_after_the_last_that_arrived(page: Page, song_path: Path) -> None:
    job = await separate(page, await add_song(page, song_path))
    events = await events_of(page, job["job_id"])
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1] == {**events[-1], "event": "state", "state": "succeeded"}
    assert {event["event"] for event in events} >= {"state", "progress"}
    middle = len(events) // 2
    assert await events_of(page, job["job_id"], after=middle) == events[middle:]
    assert await events_of(page, job["job_id"], after=len(events)) == []


@pytest.mark.asyncio
async def test_bad_marks_are_findings_and_refusals(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    late = {**VOCALS_SILENT, "end_frame": 99_999_999}
    lint = await page.http.post(f"/api/songs/{song['upload_id']}/lint", json={"marks": [late]})
    findings = {finding["code"]: finding for finding in lint.json()["findings"]}
    assert findings["BAD_REGION"]["severity"] == "error"
    assert findings["BAD_REGION"]["source"] == "vocals"
    refused = await page.http.post("/api/jobs", json={"song": song["upload_id"], "marks": [late]})
    assert (refused.status_code, refused.json()["reason"]) == (400, "BAD_REGION")


@pytest.mark.parametrize(
    "body",
    [
        {"marks": [{"source": "vocals"}]},
        {"marks": [{**VOCALS_SILENT, "state": "loud"}]},
        {"marks": [{**VOCALS_SILENT, "start_frame": 0.5}]},
        {"marks": {}},
        {"options": {"epochs": "many"}},
        {"options": {"epochs": True}},
        {"options": {"volume": 11}},
        {"options": {"stem_encoding": "mp3"}},
        {"options": {"learning_rate": 10**400}},
        {"options": []},
        {"song": "half a character: \ud800"},
        {"request_id": 5},
    ],
)
@pytest.mark.asyncio
async def test_malformed_jobs_are_refused_in_words(page: Page, song_path: Path, body: Any) -> None:
    content = json.dumps({"song": "x", **body})
    answer = await page.http.post("/api/jobs", content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize("body", ["[" * 100_000, '{"model": 5, "marks": []}', '{"format": [], "marks": []}'])
@pytest.mark.parametrize("route", ["lint", "marks/write"])
@pytest.mark.asyncio
async def test_malformed_marks_are_refused_in_words(page: Page, route: str, body: str) -> None:
    answer = await page.http.post(f"/api/songs/x/{route}", content=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["message"]


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 30, "\xb2", "", "-1"])
@pytest.mark.asyncio
async def test_odd_numbers_are_refused_or_ignored(page: Page, song_path: Path, number: str) -> None:
    song = await add_song(page, song_path)
    job = await separate(page, song)
    address = f"/api/jobs/{job['job_id']}"
    odd = number.encode("latin-1")
    events = await page.http.get(f"{address}/events", headers={b"last-event-id": odd})
    step = await page.http.get(f"{address}/stems/vocals/wav", params={"take": "preview", "step": number})
    assert (events.status_code, step.status_code) == (400, 400)
    part = await page.http.get(f"{address}/stems/vocals", headers={b"range": b"bytes=" + odd + b"-"})
    assert part.status_code in (200, 206, 416)


@pytest.mark.asyncio
async def test_an_empty_song_is_named_as_it_was_dropped(page: Page) -> None:
    answer = await page.http.put("/api/songs", params={"name": "My: song.wav"}, content=b"")
    assert (answer.status_code, answer.json()["message"]) == (400, "the song My: song.wav is empty (0 bytes)")


@pytest.mark.asyncio
async def test_a_song_that_finds_no_room_is_told_and_leaves_nothing(page: Page, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        answer = await page.http.put("/api/songs", params={"name": "a.wav"}, content=bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.status_code == 507
    assert "free some space" in answer.json()["message"]
    assert list(tmp_path.rglob("a.wav")) == []


@pytest.mark.asyncio
async def test_suggestions_come_after_an_analysis(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    address = f"/api/songs/{song['upload_id']}"
    job = (await page.http.post(address + "/analysis", json={})).json()
    await events_of(page, job["job_id"])
    suggestions = (await page.http.get(address + "/suggestions")).json()
    assert all(0.5 <= s["confidence"] <= 1 and s["start_frame"] < s["end_frame"] for s in suggestions)
    versions = (await page.http.get(address)).json()["jobs"]
    assert all(version["kind"] == "separation" for version in versions)  # an analysis is no version


@pytest.mark.parametrize("name", ["audacity", "reaper-csv", "jams", "lab"])
@pytest.mark.asyncio
async def test_marks_are_written_and_read_back(page: Page, song_path: Path, name: str) -> None:
    song = await add_song(page, song_path)
    address = f"/api/songs/{song['upload_id']}/marks"
    marks = [VOCALS_SILENT, {"source": "drums", "state": "active", "start_frame": 22050, "end_frame": 66150}]
    written = await page.http.post(address + "/write", json={"marks": marks, "format": name})
    assert written.status_code == 200, written.text
    read = await page.http.post(address + "/read", params={"name": "m"}, content=written.content)
    assert sorted(read.json(), key=str) == sorted(marks, key=str)
    slip = await page.http.post(address + "/read", params={"name": "m.txt"}, content=b"0\t1\tno kazoo\n")
    assert slip.status_code == 400
    assert slip.json()["message"].startswith("m.txt, line 1")


@pytest.mark.asyncio
async def test_notes_are_kept_and_song_lists_its_versions(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    notes = {"marks": [VOCALS_SILENT]}
    address = f"/api/songs/{song['upload_id']}"
    assert (await page.http.put(address + "/notes", json=notes)).status_code == 204
    assert (await page.http.get(address + "/notes")).json() == notes
    job = await separate(page, song)
    versions = (await page.http.get(address)).json()["versions"]
    takes = {(take["name"], take["job_id"]) for version in versions for take in version["takes"]}
    assert ("Under your marks", job["job_id"]) in takes
    assert song["upload_id"] in [s["upload_id"] for s in (await page.http.get("/api/songs")).json()]


@pytest.mark.asyncio
async def test_a_song_that_is_sent_anew_is_as_it_was_left(page: Page, song_path: Path) -> None:
    song, notes = await add_song(page, song_path), {"marks": [VOCALS_SILENT]}
    await page.http.put(f"/api/songs/{song['upload_id']}/notes", json=notes)
    job = await separate(page, song)
    page.client.delete_upload(song["upload_id"])  # as the server does by itself after a week
    refused = await page.http.post("/api/jobs", json={"song": song["upload_id"], "marks": []})
    assert "drop its file here again" in refused.json()["message"]
    again = await add_song(page, song_path)
    assert again["upload_id"] != song["upload_id"]
    address = f"/api/songs/{again['upload_id']}"
    assert (await page.http.get(address + "/notes")).json() == notes
    assert job["job_id"] in [job["job_id"] for job in (await page.http.get(address)).json()["jobs"]]
    listed = [known["sha256"] for known in (await page.http.get("/api/songs")).json()]
    assert listed.count(song["sha256"]) == 1


@pytest.mark.asyncio
async def test_marks_of_another_window_are_not_replaced(page: Page, song_path: Path) -> None:
    address = f"/api/songs/{(await add_song(page, song_path))['upload_id']}/notes"

    async def write(marks: list[dict[str, object]], tag: str) -> Any:
        return await page.http.put(address, json={"marks": marks}, headers={"if-match": tag})

    tag = (await page.http.get(address)).headers["etag"]
    first = await write([VOCALS_SILENT], tag)
    assert first.status_code == 204
    of_other = await write([], tag)
    assert (of_other.status_code, of_other.json()["reason"]) == (409, "MARKS_CHANGED")
    assert (await page.http.get(address)).json() == {"marks": [VOCALS_SILENT]}
    assert (await page.http.get(address)).headers["etag"] == first.headers["etag"]
    assert (await write([], first.headers["etag"])).status_code == 204


@pytest.mark.asyncio
async def test_a_page_of_a_song_before_it_was_sent_anew_is_there(page: Page, song_path: Path) -> None:
    upload = page.client.upload(song_path)  # before the page was opened
    job = page.client.create_job(upload.upload_id, options=JobOptions(strategy="B0"))
    assert list(page.client.watch(job.job_id))
    page.client.delete_upload(upload.upload_id)
    again = await add_song(page, song_path)
    assert (await page.http.get("/api/songs")).json()[0]["upload_id"] == again["upload_id"]
    for upload_id in (upload.upload_id, again["upload_id"]):
        shown = await page.http.get(f"/api/songs/{upload_id}")
        assert job.job_id in shown.text


@pytest.mark.asyncio
async def test_base_stems_are_a_take_of_their_own(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    body = {
        "song": song["upload_id"],
        "marks": [VOCALS_SILENT],
        "options": {"epochs": 1, "base_stems": "kept"},
        "reuse": True,
    }
    job_id = (await page.http.post("/api/jobs", json=body)).json()["job_id"]
    assert "base_stems" in {event["event"] for event in await events_of(page, job_id)}
    assert (await page.http.post("/api/jobs", json=body)).json()["job_id"] == job_id  # is there already
    assert (await page.http.post(f"/api/jobs/{job_id}/accept")).json()["job_id"] == job_id  # has ended
    version = (await page.http.get(f"/api/songs/{song['upload_id']}")).json()["versions"][0]
    assert [(take["job_id"], take["is_base"]) for take in version["takes"][-2:]] == [
        (job_id, True),
        (job_id, False),
    ]
    address = f"/api/jobs/{job_id}/stems/drums/wav"
    whole = (await page.http.get(address, params={"take": "base"})).content
    part = await page.http.get(address, params={"take": "base"}, headers={"range": "bytes=1000-1999"})
    assert part.content == whole[1000:2000]
    assert len((await page.http.get(address[:-3] + "peaks", params={"take": "base"})).content) == 600
    answer = await page.http.get(f"/api/jobs/{job_id}/stems.zip", params={"take": "base"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read(f"{song_path.stem} drums.wav") == whole
    plain = await separate(page, song)
    refused = await page.http.get(f"/api/jobs/{plain['job_id']}/stems.zip", params={"take": "base"})
    assert refused.status_code == 404


@pytest.mark.asyncio
async def test_star_is_the_servers_own(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    job = await separate(page, song)
    for starred in (True, False):
        answer = await page.http.put(f"/api/jobs/{job['job_id']}/star", json={"starred": starred})
        assert answer.json()["starred"] is starred
        jobs = (await page.http.get(f"/api/songs/{song['upload_id']}")).json()["jobs"]
        assert [other["starred"] for other in jobs if other["job_id"] == job["job_id"]] == [starred]
        assert page.client.get_job(job["job_id"]).starred is starred


@pytest.mark.parametrize(
    "path",
    ["/api/songs/nobody", "/api/jobs/nobody", "/api/jobs/nobody/stems/drums", "/api/jobs/nobody/events"],
)
@pytest.mark.asyncio
async def test_unknown_things_are_not_found(page: Page, path: str) -> None:
    answer = await page.http.get(path)
    assert answer.status_code == 404
    assert "nobody" in answer.json()["message"]


@pytest.mark.asyncio
async def test_song_that_the_server_has_deleted_is_asked_for(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    page.client.delete_upload(song["upload_id"])
    body = {"song": song["upload_id"], "marks": [], "options": {"strategy": "B0"}}
    refused = await page.http.post("/api/jobs", json=body)
    assert refused.status_code == 404
    assert "drop its file here again" in refused.json()["message"]


@pytest.mark.asyncio
async def test_cancelled_job_has_no_stems(page: Page, song_path: Path) -> None:
    song = await add_song(page, song_path)
    body = {"song": song["upload_id"], "marks": [VOCALS_SILENT], "options": {"epochs": 1000}}
    job = (await page.http.post("/api/jobs", json=body)).json()
    await page.http.delete(f"/api/jobs/{job['job_id']}")
    events = await events_of(page, job["job_id"])
    assert events[-1]["state"] == "cancelled"
    answer = await page.http.get(f"/api/jobs/{job['job_id']}/stems.zip")
    assert answer.status_code == 404
