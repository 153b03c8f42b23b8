"""Files on a worker's node: whole or not there, taken up where they broke off, never above their budget."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tests.helpers.run_specs import RunSpecs
from tests.helpers.runs import changed
from ugosa_server.engines.ray.files import CHUNK_BYTES, FileSender, NodeFiles, NodeFolder
from ugosa_server.jobs import FinishedFile
from ugosa_server.marks.players import VideoSource


@pytest.fixture
def files(tmp_path):
    return NodeFiles(NodeFolder(str(tmp_path), "worker-0", budget_bytes=2**30))


def digest(content):
    return hashlib.sha256(content).hexdigest()


def send(files, content, step=4):
    name = digest(content)
    offset = files.received_bytes(name, len(content))
    while offset < len(content):
        chunk = content[offset : offset + step]
        offset += len(chunk)
        assert files.receive(name, offset - len(chunk), chunk, last=offset == len(content))
    return files.path_of(name)


def test_content_is_kept_under_its_digest(files):
    path = send(files, b"a song in chunks")
    assert path.read_bytes() == b"a song in chunks"
    assert files.received_bytes(path.name, 16) == 16
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_broken_transfer_resumes_where_it_stopped(files, tmp_path):
    content = b"a song in chunks"
    assert files.receive(digest(content), 0, content[:7], last=False)
    assert not files.path_of(digest(content)).exists()
    restarted = NodeFiles(NodeFolder(str(tmp_path), "worker-0", budget_bytes=2**30))
    assert restarted.received_bytes(digest(content), len(content)) == 7
    assert send(restarted, content).read_bytes() == content


def test_damaged_content_is_refused_and_removed(files):
    name = digest(b"a song")
    assert not files.receive(name, 0, b"a sung", last=True)
    assert files.received_bytes(name, 6) == 0
    assert send(files, b"a song").read_bytes() == b"a song"


def test_two_workers_of_a_node_finish_their_songs_at_once(files, tmp_path, monkeypatch):
    other, listed = NodeFiles(NodeFolder(str(tmp_path), "worker-1", budget_bytes=2**30)), Path.iterdir
    theirs = b"another song"
    assert other.receive(digest(theirs), 0, theirs[:7], last=False)

    def list_before_the_other_finishes(self):
        paths = list(listed(self))
        monkeypatch.setattr(Path, "iterdir", listed)
        send(other, theirs)
        return paths

    monkeypatch.setattr(Path, "iterdir", list_before_the_other_finishes)
    assert send(files, b"a song").read_bytes() == b"a song"
    assert files.path_of(digest(theirs)).read_bytes() == theirs


def test_content_that_was_damaged_on_the_node_is_sent_again(files):
    path = send(files, b"a song")
    path.write_bytes(b"a sung")
    assert send(files, b"a song").read_bytes() == b"a song"


def test_workers_of_a_node_share_whole_content_only(files, tmp_path):
    other = NodeFiles(NodeFolder(str(tmp_path), "worker-1", budget_bytes=2**30))
    name = digest(b"a song")
    files.receive(name, 0, b"a so", last=False)
    assert other.received_bytes(name, 6) == 0
    send(other, b"a song")
    assert files.received_bytes(name, 6) == 6


def test_least_recently_used_content_makes_room(tmp_path):
    files = NodeFiles(NodeFolder(str(tmp_path), "worker-0", budget_bytes=25))
    paths = [send(files, bytes([number]) * 10) for number in range(2)]
    for age_s, path in zip((20, 10), paths, strict=True):
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    files.received_bytes(paths[0].name, 10)  # used again
    newest = send(files, b"z" * 10)
    assert [path.exists() for path in (*paths, newest)] == [True, False, True]


def test_results_are_listed_read_in_chunks_and_removed(files):
    folder = files.make_run("job", 1)
    content = bytes(CHUNK_BYTES + 5)
    (folder / "stem-0.wav").write_bytes(content)
    (result,) = files.results("job", 1)
    assert result == FinishedFile("stem-0.wav", len(content), digest(content))
    chunks = [files.read_result("job", 1, "stem-0.wav", offset) for offset in (0, CHUNK_BYTES)]
    assert b"".join(chunks) == content
    assert not list(files.make_run("job", 2).iterdir())
    assert not folder.exists()
    files.delete_run("job")
    assert not list(folder.parent.parent.glob("job"))


class Node:
    """The files of a node behind calls as Ray makes them: `node.METHOD.remote(...)`, awaited."""

    def __init__(self, folder):
        self.files = NodeFiles(NodeFolder(str(folder), "worker-0", budget_bytes=2**30))

    def __getattr__(self, name):
        method = getattr(self.files, name)

        class Remote:
            @staticmethod
            async def remote(*arguments, **options):
                return method(*arguments, **options)

        return Remote


def test_send_run_replaces_paths_by_the_digests_sent(tmp_path):
    node = Node(tmp_path / "node")
    specs = RunSpecs(tmp_path)
    video = tmp_path / "bytes"
    video.write_bytes(b"a video" * 1000)
    adapter = tmp_path / "adapter"
    adapter.write_bytes(b"learned" * 1000)
    spec = changed(specs.make("j1"), video=VideoSource("v1"), video_path=str(video), start_path=str(adapter))
    sent = asyncio.run(FileSender().send_run(node, spec))
    for digest, path in (
        (sent.source.path, specs.song_path),
        (sent.model_path, specs.model_path),
        (sent.video_path, video),
        (sent.start_path, adapter),
    ):
        assert node.files.path_of(digest).read_bytes() == path.read_bytes()
    blind = asyncio.run(FileSender().send_run(node, specs.make("j2")))
    assert (blind.video_path, blind.start_path) == ("", "")
