"""The demonstration's supervisor and its guards, on small real processes."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from example_project import supervisor as module
from example_project.supervisor import ChildEnded, Supervisor

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, f"{os.getpid()}\\n".encode())
time.sleep(600)
"""


@pytest.fixture
def supervise() -> Iterator[Callable[..., Supervisor]]:
    """Call it for an entered supervisor; the test's end leaves it and restores the signal handlers."""
    entered: list[Supervisor] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def enter(**options: object) -> Supervisor:
        entered.append(Supervisor(io.StringIO(), **options).__enter__())
        return entered[-1]

    yield enter
    for supervisor in entered:
        supervisor.__exit__(None, None, None)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(supervisor: Supervisor, code: str, **options: object) -> module.Child:
    options = {"env": os.environ, "colour": 36, **options}
    return supervisor.start("child", [sys.executable, "-c", code], **options)


def lines(supervisor: Supervisor) -> list[str]:
    return supervisor.output.getvalue().splitlines()


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_lines_of_both_streams_stand_behind_the_name(supervise):
    supervisor = supervise()
    run(
        supervisor,
        "import sys; print('out', flush=True); sys.stderr.write('error\\xff\\n'); sys.stdin.read(1)",
    )
    wait(lambda: len(lines(supervisor)) >= 2)
    assert lines(supervisor)[:2] == [" child | out", " child | errorÿ"]


def test_names_are_coloured_when_asked(supervise):
    supervisor = supervise(colour=True)
    run(supervisor, "print('out')")
    wait(lambda: lines(supervisor))
    assert lines(supervisor)[0] == "\x1b[36m child | \x1b[0mout"


def test_what_ends_by_itself_starts_again_and_is_reported(supervise, monkeypatch):
    monkeypatch.setattr(module, "RESTART_PAUSE", 0.05)
    supervisor = supervise()
    child = run(
        supervisor, "import os, signal; print(os.getpid(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    wait(lambda: len(lines(supervisor)) >= 4)
    first, said, second, _ = lines(supervisor)[:4]
    assert said == " child | ended with code 137 and starts again"
    assert first != second
    assert child.ended


def test_waiting_ends_when_the_child_does(supervise):
    supervisor = supervise()
    child = run(supervisor, "raise SystemExit(3)")
    with pytest.raises(ChildEnded):
        supervisor.wait_until(lambda: False, child, seconds=30)


def test_waiting_ends_when_its_time_is_over(supervise):
    supervisor = supervise()
    child = run(supervisor, "import time; time.sleep(600)")
    with pytest.raises(TimeoutError):
        supervisor.wait_until(lambda: False, child, seconds=0.2)


def test_children_stop_in_reverse_order_and_stubborn_ones_with_all_of_theirs(supervise):
    supervisor = supervise()
    supervisor.start("first", [sys.executable, "-c", STUBBORN], env=os.environ, colour=36, grace=0.3)
    supervisor.start("second", [sys.executable, "-c", STUBBORN], env=os.environ, colour=36, grace=0.3)
    wait(lambda: len(lines(supervisor)) >= 4)
    pids = [int(line.rpartition(" ")[2]) for line in lines(supervisor)]
    assert all(alive(pid) for pid in pids)
    assert supervisor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is True
    assert lines(supervisor)[-2:] == ["Stopping second", "Stopping first"]
    wait(lambda: not any(alive(pid) for pid in pids))


def fail_inside(supervisor: Supervisor, children: list[module.Child]) -> None:
    with supervisor:
        children.append(run(supervisor, "import time; time.sleep(600)"))
        raise ZeroDivisionError


def test_errors_leave_the_context_after_the_children_have_stopped(supervise):
    children: list[module.Child] = []
    with pytest.raises(ZeroDivisionError):
        fail_inside(supervise(), children)
    assert not children[0].is_alive()


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_closed_output_is_taken_for_ctrl_c(supervise):
    supervisor = supervise()
    supervisor.output = Closed()
    # It writes once and stays: a second line would interrupt the test run after this test.
    run(supervisor, "import time; print('out', flush=True); time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        time.sleep(30)
    supervisor.output = io.StringIO()
