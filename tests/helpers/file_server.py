"""An HTTP server of files that can be made to misbehave, on a free port of loopback."""

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    knows_ranges: bool = True
    bytes_before_cut: int | None = None
    """Close the connection after so many bytes of a body; for one answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each."""


@contextmanager
def file_server(**files):
    server = FileServer(files={f"/{name}": content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            if self.path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[self.path])
                self.end_headers()
                return
            if self.path not in server.files:
                self.send_error(404)
                return
            content = server.files[self.path]
            start, size = 0, len(content)
            if wanted and server.knows_ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            cut, server.bytes_before_cut = server.bytes_before_cut, None
            self.wfile.write(content[start:] if cut is None else content[start : start + cut])

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
