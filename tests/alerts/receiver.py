"""A web server that takes webhooks: it answers, refuses, hangs, drips or redirects, as a test asks."""

from __future__ import annotations

import re
import ssl
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

Answer = Callable[[BaseHTTPRequestHandler], None]
DOCUMENT = Path(__file__).parents[2] / "docs" / "alerts.md"


@dataclass
class Post:
    """One request as it arrived, at a moment of the monotonic clock; ``taken`` once it was answered so."""

    path: str
    headers: dict[str, str]
    body: bytes
    arrived_at: float = field(default_factory=time.monotonic)
    taken: bool = False

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def sent_at(self) -> float:
        """When it was signed, or up to a second before; on a busy machine it arrives much later."""
        signed = int(self.headers["ST-Signature"].partition(",")[0].removeprefix("t="))
        return signed - time.time() + time.monotonic()


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent in ``posts``. ``answers`` are used up one by one; the last one stays."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[Post] = []
        self.answers: list[Answer] = [status(204)]
        self.over = threading.Event()
        self.context: ssl.SSLContext | None = None

    def url(self, path: str = "/hook/s3cr3t-token") -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://127.0.0.1:{self.server_port}{path}"

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # its sender died, as under a killed process: a web server hands nothing on
            self.close_connection = True
            return
        self.post = Post(self.path, dict(self.headers), body)
        self.server.posts.append(self.post)
        self.server.next_answer()(self)

    def log_message(self, *args: Any) -> None:
        pass


def status(code: int, **headers: str) -> Answer:
    """An answer of that status without a body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


def redirect(code: int, location: str) -> Answer:
    return status(code, Location=location)


def hang(handler: Any) -> None:
    """No answer at all."""
    handler.server.over.wait(60)


def drip(handler: Any) -> None:
    """A byte a quarter of a second, for ever: no read waits long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with suppress(OSError):
        while not handler.server.over.is_set():
            handler.wfile.write(b"x")
            time.sleep(0.25)


def garbage(handler: Any) -> None:
    """What is no HTTP."""
    handler.wfile.write(b"\x00\x01 hello\r\n\r\n")
    handler.close_connection = True


def documented_verifier() -> Callable[[str, str, bytes], bool]:
    """The function of docs/alerts.md that checks a signature."""
    code = re.search(r"```python\n(import hmac.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(code[1]), str(DOCUMENT), "exec"), names)
    return names["is_genuine"]
