"""A dotted path: the project's own function, called with the notification."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.utils.module_loading import import_string

from .faults import ChannelError, told
from .notification import Notification


def label(address: str) -> str:
    """The path."""
    return address


def problem(address: str) -> str:
    """Why the function cannot be called; empty when it can."""
    try:
        _function(address)
    except ChannelError as error:
        return str(error)
    return ""


def send(address: str, notification: Notification) -> None:
    """Call the function; that it returns means that it has sent. Raises :class:`.ChannelError`."""
    function = _function(address)
    try:
        function(notification)
    except Exception as error:  # noqa: BLE001 - it is the project's code
        raise ChannelError(told(error)) from None


def _function(address: str) -> Callable[[Notification], Any]:
    try:
        found = import_string(address)
    except Exception as error:  # noqa: BLE001 - importing runs the project's code
        raise ChannelError(f"It cannot be imported ({told(error)}).") from None
    if not callable(found):
        raise ChannelError("It is not callable.")
    if iscoroutinefunction(found):
        raise ChannelError("It is async: nobody would await it.")
    return found  # type: ignore[no-any-return]
