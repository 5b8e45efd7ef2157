"""Run one command on a leash: ``python guard.py GRACE COMMAND...``

The leash is this process's standard input. It ends when whoever holds the other end lets go or dies, however
it dies: so not even ``kill -9`` of the keeper leaves the command behind. The command then gets SIGTERM, and
after GRACE seconds its whole process group SIGKILL.

The command runs in a session of its own, so that Ctrl-C in a terminal reaches the keeper alone: a Celery
worker whose main process and pool were both interrupted would drop its running tasks. Nothing but the
standard library is imported here, because one such process stands beside each command.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(grace: float, command: list[str]) -> int:
    """The command's exit code; 128 and more when a signal ended it, as a shell says it."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=stop_when_let_go, args=(grace, child), daemon=True).start()
    code = child.wait()
    kill_group(child)
    return code if code >= 0 else 128 - code


def stop_when_let_go(grace: float, child: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of the leash, then end the command."""
    os.read(sys.stdin.fileno(), 1)
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        kill_group(child)


def kill_group(child: "subprocess.Popen[bytes]") -> None:
    """End at once what is left of the command and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
