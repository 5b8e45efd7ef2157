"""How a Celery process was started: with which app, and with which brokers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from kombu.connection import Connection


def app_argument(argv: Sequence[str]) -> str:
    """What a ``celery`` command line gives as ``-A``; empty when the process was started in another way."""
    for option, value in zip(argv, [*argv[1:], ""], strict=True):
        name, has_value, inline = option.partition("=")
        if name in ("-A", "--app"):
            return inline if has_value else value
        if option.startswith("-A"):
            return option.removeprefix("-A")
    return os.environ.get("APP", "")


def broker_addresses(connect: Callable[[], Connection]) -> list[str]:
    """The brokers of a connection, as ``transport://host:port/virtual host``, without user and password.

    ``connect`` is an app's ``connection_for_read`` or ``connection_for_write``. Empty when kombu cannot read
    the address: whoever sends a message then reports it.
    """
    try:
        connection = connect()
        others = [Connection(url) for url in connection.alt]  # type: ignore[no-untyped-call]
        brokers = others or [connection]
        return sorted({_address(broker) for broker in brokers})
    except Exception:  # noqa: BLE001 - a transport may raise anything
        return []


def _address(broker: Connection) -> str:
    info = broker.info()  # type: ignore[no-untyped-call]
    port = f":{info['port']}" if info["port"] else ""
    virtual_host = str(info["virtual_host"] or "").strip("/")
    if virtual_host == "0":  # Redis's default database
        virtual_host = ""
    return f"{info['transport']}://{info['hostname']}{port}/{virtual_host}"
