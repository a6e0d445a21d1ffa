"""Decides how each try of a client is noted: a door before the gateway that lets all through.

Does not judge, delay or change what passes.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Self


@dataclass(frozen=True, slots=True)
class Try:
    """One request and its reply."""

    began: float
    ended: float
    status: int
    headers: dict[str, str]


@dataclass
class Door:
    """Listens, passes on to the gateway's port, remembers."""

    port: int
    tries: list[Try] = field(default_factory=list)

    def __enter__(self) -> Self:
        door, lock = self, Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                began = time.monotonic()
                body = self.rfile.read(int(self.headers["content-length"]))
                through = http.client.HTTPConnection("127.0.0.1", door.port, timeout=120)
                through.request("POST", self.path, body, dict(self.headers))
                reply = through.getresponse()
                told = reply.read()
                headers = {name.lower(): value for name, value in reply.getheaders()}
                with lock:
                    door.tries.append(Try(began, time.monotonic(), reply.status, headers))
                self.send_response(reply.status)
                for name, value in headers.items():
                    if name not in ("connection", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told)
                through.close()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that has left is none of ours."""

        self._server = Server(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        """Where clients knock."""
        return f"http://127.0.0.1:{self._server.server_port}/api/v2"

    def since(self, began: float) -> list[Try]:
        """Tries that began after this and have ended, in their order."""
        return sorted((each for each in self.tries if each.began >= began), key=lambda t: t.began)
