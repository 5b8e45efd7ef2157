"""Tracebacks folded to the project's own frames."""

from __future__ import annotations

import pytest

from scheduled_tasks.admin.traceback_frames import OF_LIBRARY, own_frames, styled

TRACEBACK = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
                 ^^^^^^^^^^^^^^^^^^^^
  File "/srv/venv/lib/python3.12/site-packages/celery/app/trace.py", line 736, in __protected_call__
    return self.run(*args, **kwargs)
  File "/srv/shop/rates.py", line 41, in sync
    rates = fetch(day)
            ^^^^^^^^^^
  File "/usr/lib/python3.12/socket.py", line 851, in create_connection
    raise exceptions[0]
ConnectionError: no

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop/rates.py", line 43, in sync
    raise RatesUnavailable
shop.RatesUnavailable: two
  lines
"""

OWN = """Traceback (most recent call last):
  … 2 frames of libraries
  File "/srv/shop/rates.py", line 41, in sync
    rates = fetch(day)
            ^^^^^^^^^^
  … 1 frame of a library
ConnectionError: no

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop/rates.py", line 43, in sync
    raise RatesUnavailable
shop.RatesUnavailable: two
  lines"""


def test_frames_of_libraries_are_counted_in_a_line() -> None:
    assert own_frames(TRACEBACK) == OWN


@pytest.mark.parametrize(
    "traceback",
    [
        "",
        "ValueError: x",
        'Traceback (most recent call last):\n  File "/srv/shop/a.py", line 1, in a\n    x\nValueError: x',
        'Traceback (most recent call last):\n  File "/v/site-packages/a.py", line 1, in a\nValueError: x',
    ],
    ids=["none", "no frame", "own frames only", "library frames only"],
)
def test_what_has_not_both_kinds_of_frames_is_not_folded(traceback: str) -> None:
    assert own_frames(traceback) == ""


@pytest.mark.parametrize(
    ("path", "is_library"),
    [
        ("/usr/lib/python3/dist-packages/celery/app.py", True),
        ("/usr/lib64/python3.11/json/decoder.py", True),
        (r"C:\Python312\Lib\socket.py", True),
        (r"C:\shop\venv\Lib\site-packages\celery\app.py", True),
        ("<frozen importlib._bootstrap>", True),
        ("/srv/lib/python/shop/tasks.py", False),
        ("/srv/python3.12/shop/tasks.py", False),
        (r"C:\shop\lib\tasks.py", False),
        ("<string>", False),
    ],
)
def test_files_of_libraries_are_told_by_their_path(path: str, is_library: bool) -> None:
    assert bool(OF_LIBRARY.search(path)) is is_library


def test_lines_are_styled() -> None:
    assert [css for css, _line in styled(OWN)][:5] == ["q", "q", "q", "", ""]
    assert styled(OWN)[-1] == ("e", "  lines")
    assert styled("") == []
