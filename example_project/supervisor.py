"""Several processes under one parent: started in order, shown in one log, stopped in reverse, never orphaned.

Each command runs under ``guard.py``, which ends it when the parent is gone, even by ``kill -9``.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

GUARD = Path(__file__).with_name("guard.py")
RESTART_PAUSE = 2.0
"""Seconds between the unexpected end of a child and its next start."""


class ChildEnded(Exception):
    """A child ended while it was waited for."""


class Supervisor:
    """A context: inside it children run, Ctrl-C and SIGTERM leave it, and leaving it stops them.

    Args:
        output: where the children's lines go, each behind its child's name.
        colour: whether these names are coloured.
        inherit: file descriptors to keep open as long as a child lives, such as that of a lock.
    """

    def __init__(self, output: TextIO, *, colour: bool = False, inherit: Sequence[int] = ()) -> None:
        self.output, self.colour, self.inherit = output, colour, tuple(inherit)
        self.children: list[Child] = []
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        # Set even where a shell started us with SIGINT ignored, as it does with `command &` in a script.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # Not SIG_IGN: a child that starts at this moment would inherit it and could not be stopped.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        for child in reversed(self.children):
            self.say(f"Stopping {child.name}")
            child.stop()
        return kind is KeyboardInterrupt

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], colour: int, grace: float = 5.0
    ) -> "Child":
        """Run ``command``; when it ends by itself it starts again.

        Args:
            colour: ANSI colour code of the name.
            grace: seconds the command gets to stop before it is killed.
        """
        child = Child(name, command, supervisor=self, env=env, colour=colour, grace=grace)
        self.children.append(child)
        child.start()
        return child

    def wait_until(self, ready: Callable[[], bool], child: "Child", *, seconds: float) -> None:
        """Ask ``ready`` until it says yes.

        Raises:
            ChildEnded: ``child`` ended meanwhile.
            TimeoutError: ``seconds`` passed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if child.ended:
                raise ChildEnded
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.1)

    def wait(self) -> None:
        """Until a signal comes."""
        while True:
            signal.pause()

    def say(self, line: str, child: "Child | None" = None) -> None:
        """Print one line, behind the child's name if one is given."""
        try:
            with self._writing:
                self.output.write(f"{self._prefix(child) if child else ''}{line}\n")
                self.output.flush()
        except OSError:
            # Nobody reads any more, a closed terminal or `| head`: the same as Ctrl-C.
            os.kill(os.getpid(), signal.SIGINT)

    def _prefix(self, child: "Child") -> str:
        name = f"{child.name:>6} | "
        return f"\x1b[{child.colour}m{name}\x1b[0m" if self.colour else name


class Child(threading.Thread):
    """One command under its guard, and the thread that shows what it prints."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        supervisor: Supervisor,
        env: Mapping[str, str],
        colour: int,
        grace: float,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.command, self.supervisor, self.env = command, supervisor, env
        self.colour, self.grace = colour, grace
        self.ended = False
        """Whether the command ever ended by itself."""
        self._guard: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()

    def run(self) -> None:
        while guard := self._launch():
            assert guard.stdout
            for line in guard.stdout:
                self.supervisor.say(line.rstrip(), self)
            code = guard.wait()
            if not self._stopping.is_set():
                self.ended = True
                self.supervisor.say(f"ended with code {code} and starts again", self)
                self._stopping.wait(RESTART_PAUSE)

    def stop(self) -> None:
        """Let go of the leash and wait until the command is gone."""
        with self._starting:
            self._stopping.set()
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            self._guard.wait()
        # Not for ever: what slipped out of the command's process group may hold its output open.
        self.join(timeout=1)

    def _launch(self) -> "subprocess.Popen[str] | None":
        with self._starting:
            if self._stopping.is_set():
                return None
            self._guard = subprocess.Popen(
                [sys.executable, "-IS", str(GUARD), str(self.grace), *self.command],
                env=self.env,
                pass_fds=self.supervisor.inherit,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            return self._guard
