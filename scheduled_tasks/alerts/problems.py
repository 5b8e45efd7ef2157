"""System checks of the settings that say who is told of incidents, and how."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from ..conf import NAME, settings
from . import mail
from .channels import DEFAULT, Channel, problem_of

LONGEST_OWNER = 100
SHORTEST_SECRET = 16
NOBODYS_ADDRESS = "webmaster@localhost"
"""Django's own ``DEFAULT_FROM_EMAIL``, which mail servers refuse."""


def alert_problems() -> Iterator[CheckMessage]:
    """Check ``ALERTS``, ``ALERT_SECRET``, ``SITE_URL``: no message shows more than an address's label."""
    yield from _texts()
    alerts = settings.ALERTS
    for owner, addresses in alerts.items():
        yield from _owner(owner, addresses)
    if alerts and DEFAULT not in alerts:
        yield Warning(
            f'{NAME}["ALERTS"] has no "{DEFAULT}".',
            hint="Nobody is told when beat or workers are down, nor of tasks whose owner it does not name.",
            id="scheduled_tasks.W004",
        )


def _texts() -> Iterator[CheckMessage]:
    secret = settings.ALERT_SECRET
    if secret is not None and len(secret) < SHORTEST_SECRET:
        yield _wrong(f"{NAME}['ALERT_SECRET'] must be a text of at least {SHORTEST_SECRET} characters.")
    site = settings.SITE_URL
    if site is not None and not _is_site(site):
        yield _wrong(f"{NAME}['SITE_URL'] must be like \"https://example.com\", not {site!r}.")


def _is_site(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.query + parts.fragment


def _owner(owner: object, addresses: object) -> Iterator[CheckMessage]:
    if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_OWNER:
        yield _wrong(f"An owner in {NAME}['ALERTS'] must be a text of at most {LONGEST_OWNER} characters.")
        return
    where = f"{NAME}['ALERTS'][{owner!r}]"
    if not isinstance(addresses, list | tuple) or not all(isinstance(each, str) for each in addresses):
        yield _wrong(f"{where} must be a list of addresses.")
        return
    for address in addresses:
        yield from _address(where, address)


def _address(where: str, address: str) -> Iterator[CheckMessage]:
    label = Channel(address).label
    if problem := problem_of(address):
        yield Error(
            f"{where} has an address that cannot be used: {label}. {problem}",
            hint="docs/alerts.md lists the kinds of addresses.",
            id="scheduled_tasks.E011",
        )
    elif address.startswith(mail.SCHEME) and django_settings.DEFAULT_FROM_EMAIL == NOBODYS_ADDRESS:
        yield Warning(
            f"Mail to {label} would come from {NOBODYS_ADDRESS}.",
            hint="Set DEFAULT_FROM_EMAIL to an address that your mail server accepts.",
            id="scheduled_tasks.W005",
        )


def _wrong(message: str) -> CheckMessage:
    return Error(message, id="scheduled_tasks.E005")
