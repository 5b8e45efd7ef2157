"""Child processes that cannot outlive the test run, not even when it is ended by ``kill -9``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from example_project.supervisor import GUARD

SAY_PID_AND_BECOME = 'echo $$ >"$0" && exec "$@"'


class Guarded:
    """A command under the example project's guard process.

    ``pid`` is the command's own process id. Its output, both streams, goes to the file ``log``. ``grace`` is
    how many seconds :meth:`stop` leaves it between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = 10,
    ) -> None:
        self.command, self.log = command, log
        written = log.with_suffix(".pid").absolute()
        written.unlink(missing_ok=True)
        says_pid = ["sh", "-c", SAY_PID_AND_BECOME, str(written), *command]
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-IS", str(GUARD), str(grace), *says_pid],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        while not (written.exists() and written.read_text()):
            assert self.running, f"{command[0]} could not be started:\n{self.output()}"
            time.sleep(0.01)
        self.pid = int(written.read_text())

    @property
    def running(self) -> bool:
        """Whether the command is still there."""
        return self._guard.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the command's main process; nothing happens when it has ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9`` to the main process; its children end with it."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait for the command's end; its exit code, 128 and more when a signal ended it."""
        return self._guard.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to the whole group; returns when all of it is gone."""
        assert self._guard.stdin
        self._guard.stdin.close()
        self._guard.wait()

    def output(self) -> str:
        """What the command has written so far."""
        return self.log.read_text(errors="replace")
