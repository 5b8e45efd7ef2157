"""Log records and prints of a running task, as lines of its run's log."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from .output import Output, current

REDIRECTED = "celery.redirected"
"""Logger that receives what a task prints."""

NOT_OF_A_TASK = frozenset({"celery", "kombu", "amqp", "scheduled_tasks"})
"""Loggers of the machinery; ``get_task_logger()`` gives loggers that are called like the task's module."""

ADDED = "scheduled_tasks_added"
"""Attribute of a log record that was added: it may come by more than one way."""

ANSI = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
"""Colours and movements of a terminal's cursor."""

MESSAGE_KEYS = ("event", "message", "msg")
"""Under these keys structlog and its like keep the message of a record that is a dict."""

NOT_SHOWN = frozenset({"level", "logger", "timestamp", "exc_info", "stack_info", *MESSAGE_KEYS})

formatter = logging.Formatter()


class RunHandler(logging.Handler):
    """Adds log records to the output of the run they were logged in."""

    def emit(self, record: logging.LogRecord) -> None:
        output = current()
        if output is None or not output.keeps_log or not _is_of_a_task(record):
            return
        try:
            if record.name == REDIRECTED:
                _add_printed(output, record)
            else:
                _add_logged(output, record)
        except SoftTimeLimitExceeded:  # it is meant for the task
            raise
        except Exception:  # noqa: BLE001 - as the logging module has it
            self.handleError(record)


def _add_logged(output: Output, record: logging.LogRecord) -> None:
    message, error = record.getMessage(), record.exc_info
    if isinstance(record.msg, Mapping) and not record.args:
        message, error = _message_of(record.msg) or message, error or _error_of(record.msg)
    lines = [f"{_time(record)} {record.levelname} {_as_shown(message)}"]
    if error:
        lines.append(formatter.formatException(error))
    output.joining = output.printing = False
    output.add("\n".join(lines))


def _add_printed(output: Output, record: logging.LogRecord) -> None:
    """``print(a, b)`` arrives as "a", " ", "b", and a progress bar as pieces that begin with a "\\r"."""
    message = record.getMessage()
    instead = message.startswith("\r") and not message.startswith("\r\n") and output.printing
    text = _as_shown(message)
    if instead and not text.strip():
        return
    join = not instead and (text.isspace() or output.joining)
    output.joining, output.printing = text.isspace(), True
    output.add(text if join else f"{_time(record)} {text}", join=join, instead=instead)


def _time(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S}"


def _as_shown(text: str) -> str:
    """``text`` as a terminal shows it: of what a carriage return overwrites the last state."""
    text = ANSI.sub("", text).replace("\r\n", "\n")
    if "\r" not in text:
        return text
    lines = (line.split("\r") for line in text.split("\n"))
    return "\n".join(next((part for part in reversed(parts) if part.strip()), "") for parts in lines)


def _message_of(event: Mapping[Any, Any]) -> str:
    """``event key=value`` for a record of structlog; nothing for another dict."""
    found = next((str(event[key]) for key in MESSAGE_KEYS if key in event), "")
    more = {key: value for key, value in event.items() if key not in NOT_SHOWN and str(key)[:1] != "_"}
    lines = [str(more.pop(key)) for key in ("stack", "exception") if isinstance(more.get(key), str)]
    words = [f"{key}={value if str(value).isalnum() else repr(value)}" for key, value in more.items()]
    return "\n".join([" ".join([found, *words]), *lines]) if found else ""


def _error_of(event: Mapping[Any, Any]) -> Any:
    error = event.get("exc_info")
    if isinstance(error, BaseException):
        return type(error), error, error.__traceback__
    found = sys.exc_info() if error is True else error
    return found if isinstance(found, tuple) and found[:1] != (None,) else None


def _is_of_a_task(record: logging.LogRecord) -> bool:
    if vars(record).setdefault(ADDED, False):
        return False
    setattr(record, ADDED, True)
    return record.name == REDIRECTED or record.name.partition(".")[0] not in NOT_OF_A_TASK


handler = RunHandler()


def capture_logs() -> None:
    """Attach :data:`handler` to the loggers that pass their records to no other.

    Before each run, because an earlier task or the project may have set up logging meanwhile.
    """
    loggers = logging.root.manager.loggerDict.copy().values()
    apart = (each for each in loggers if isinstance(each, logging.Logger) and not each.propagate)
    for logger in (logging.root, *apart):
        if handler not in logger.handlers:
            logger.addHandler(handler)
