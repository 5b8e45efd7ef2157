"""A door before a server that a test can shut, jam and open again."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections to the server that ``url`` names; ``url`` of the proxy leads through it.

    ``address`` is this machine's address at which it listens.
    """

    def __init__(self, url: str, *, address: str = "127.0.0.1") -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server((address, 0))
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        netloc = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = parts._replace(netloc=f"{netloc}{address}:{self._listener.getsockname()[1]}").geturl()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def refuse(self) -> None:
        """Break every connection and let none through."""
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Break every connection, as a server that restarts does."""
        for pair in list(self._pairs):
            self._break(pair)

    def hang(self) -> None:
        """Let nothing through, and say nothing."""
        self._open.clear()

    def restore(self) -> None:
        """Be a good server again."""
        self._refusing = False
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the server is down
                client.close()
                continue
            pair = (client, server)
            self._pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._forward, args=(source, sink, pair), daemon=True).start()

    def _forward(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        self._break(pair)

    def _break(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for each in pair:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.restore()
        self._listener.close()
        self.reset()
