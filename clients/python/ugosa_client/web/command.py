"""`ugosa web`: the page in a browser."""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, UgosaClientError, reason_of
from ugosa_client.marks.file import read_marks
from ugosa_client.separate import find_model, take_project

KEEP_AWAKE_S = 120.0  # a server that a command has started ends when nobody calls it for long


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser of `ugosa web`."""
    web = commands.add_parser("web", parents=[common], help="mark, hear and compare in a browser")
    web.add_argument(
        "song",
        nargs="?",
        metavar="SONG",
        help="a song or a REAPER project, opened at once; others are dropped on the page",
    )
    web.add_argument("--marks", metavar="FILE", help="marks to begin with, of any format of `ugosa marks`")
    web.add_argument("--port", type=int, default=0, help="port of the page on 127.0.0.1 (default: any)")
    web.add_argument("--no-browser", action="store_true", help="print the page's address, open nothing")
    web.set_defaults(run=run_web)


def run_web(arguments: argparse.Namespace, client: UgosaClient, reporter: Reporter) -> None:
    """Serve the page until Ctrl-C."""
    try:
        import uvicorn

        from ugosa_client.web.access import Access
        from ugosa_client.web.gateway import Gateway
        from ugosa_client.web.json_forms import marks_json
        from ugosa_client.web.songs import Songs, default_notes_dir
    except ImportError as error:
        raise BadInputError(
            f"the page needs {error.name}, which is not installed; pip install 'ugosa-client[web]'"
        ) from error
    if arguments.marks and not arguments.song:
        raise BadInputError("--marks are of a song; name it as well")

    with ExitStack() as stack:
        drop_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ugosa-web-")))
        songs = Songs(client, default_notes_dir())
        place = ""
        listener = stack.enter_context(page_socket(arguments.port))
        if arguments.song:
            file, marks_file = take_project(arguments.song, arguments.marks or ())
            assert isinstance(file, str | Path)
            reporter.say(f"sending {file}")
            song = songs.add(Path(file), Path(file).name)
            if isinstance(marks_file, str):
                sources = find_model(client.models(), None).sources
                marks = read_marks(marks_file, sources, song.audio.sample_rate_hz, song.audio.frames)
                read = {"read_marks": marks_json(marks)}  # beside those that were drawn: the page can undo it
                songs.write_notes(song.upload_id, songs.notes(song.upload_id) | read)
            place = f"#song={song.upload_id}"
        stack.enter_context(server_kept_awake(client))
        app = Access(
            Gateway(client, songs, drop_dir).app(),
            listener.getsockname()[1],
            lambda address: reporter.say(f"the page is at {address}"),
        )
        reporter.say(f"the page is at {app.address}{place} until Ctrl-C; the address works once")
        if not arguments.no_browser:
            webbrowser.open(app.address + place)
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=1, server_header=False, lifespan="off"
        )
        with suppress(KeyboardInterrupt):  # the usual end
            uvicorn.Server(config).run(sockets=[listener])


def page_socket(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1: a browser that is quicker than the routes waits for them.

    Raises:
        BadInputError: the port cannot be had.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        why = reason_of(error) if isinstance(error, OSError) else "ports go from 0 to 65535"
        raise BadInputError(f"--port {port}: {why}; name another one, or leave it out") from error
    return listener


@contextmanager
def server_kept_awake(client: UgosaClient) -> Iterator[None]:
    """Call the server now and then while the page is open, so that it is there when something is pressed."""
    is_over = threading.Event()

    def call() -> None:
        while not is_over.wait(KEEP_AWAKE_S):
            with suppress(UgosaClientError):  # what is pressed next will say it
                client.models()

    threading.Thread(target=call, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
