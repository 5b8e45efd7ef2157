"""Links out of ``RUN_LINKS``: templates of addresses, filled in for one run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

FIELDS = ("celery_id", "started_at", "finished_at", "name", "worker")
"""What a template may name in braces."""

FIELD = re.compile(r"\{(\w+)\}")


def is_web_address(url: str) -> bool:
    """Whether it is an address that a browser may be sent to: http or https, with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def has_user(url: str) -> bool:
    """Whether a web address has a user name or a password before its host."""
    return "@" in urlsplit(url).netloc


def filled(template: str, values: Mapping[str, str]) -> str:
    """The address with every ``{field}`` replaced by its value, URL-quoted; other braces stay.

    ``values`` has a text for each of :data:`FIELDS`. Empty where the address makes no sense: a value is empty
    that it needs (only ``finished_at`` may be, while a run goes on), or it leads to no web address.
    """
    named = set(FIELD.findall(template))
    if not all(name in values and (values[name] or name == "finished_at") for name in named):
        return ""
    url = FIELD.sub(lambda found: quote(values[found[1]], safe=""), template)
    return url if is_web_address(url) else ""


def problem_of(template: object) -> str:
    """What is wrong with a template, as the end of a sentence; empty when it is fine."""
    if not isinstance(template, str):
        return "is no text"
    unknown = [name for name in FIELD.findall(template) if name not in FIELDS]
    if unknown:
        return f"names {{{unknown[0]}}}, which is none of {', '.join(FIELDS)}"
    if not filled(template, dict.fromkeys(FIELDS, "x")):
        return "is no http or https address"
    return ""
