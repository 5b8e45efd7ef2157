"""Who runs a command."""

from __future__ import annotations

from getpass import getuser

from ..operations import Actor


def system_user() -> str:
    """The user of the operating system; empty for one without a name, as a container's may be."""
    try:
        return getuser()
    except (ImportError, LookupError, OSError):
        return ""


def command_line() -> Actor:
    """The user of the operating system as who acts. Django's history takes only its own users."""
    return Actor(system_user(), lambda about, entry: None)
