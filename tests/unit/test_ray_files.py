"""What a run reads is brought to a node that shares no files with the server."""

import asyncio
from dataclasses import replace

from tests.helpers.run_specs import RunSpecs
from ugosa_server.engines.ray.files import ContentDigests, NodeFiles, NodeFolder, send_run
from ugosa_server.marks.players import VideoSource


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


def test_song_model_and_video_arrive_and_the_run_names_them_by_content(tmp_path):
    node = Node(tmp_path / "node")
    specs = RunSpecs(tmp_path)
    video = tmp_path / "bytes"
    video.write_bytes(b"a video" * 1000)
    spec = replace(specs.make("j1"), video=VideoSource("v1"), video_path=str(video))
    sent = asyncio.run(send_run(node, spec, ContentDigests()))
    for digest, path in (
        (sent.source.path, specs.song_path),
        (sent.model_path, specs.model_path),
        (sent.video_path, video),
    ):
        assert node.files.path_of(digest).read_bytes() == path.read_bytes()
    blind = asyncio.run(send_run(node, specs.make("j2"), ContentDigests()))
    assert blind.video_path == ""
