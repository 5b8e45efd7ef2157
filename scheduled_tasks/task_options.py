"""The options of a Celery task, told from words that Celery would keep without ever reading them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from celery import Task

UNDECLARED = frozenset(
    {
        *("base", "bind", "name", "store_eager_result"),
        *("pydantic", "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs"),
        *("autoretry_for", "dont_autoretry_for"),
        *("retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter"),
        *("queue", "routing_key", "exchange", "delivery_mode", "compression", "immediate", "mandatory"),
    }
)
"""Options that Celery reads without its ``Task`` class having an attribute of that name."""


def check_known(options: Mapping[str, Any], own: Iterable[str]) -> None:
    """Check that Celery knows each of `options`; `own` are the other words that may have been meant.

    Celery makes any option an attribute of the task. It knows those of :data:`UNDECLARED` and the public
    attributes of the task's class: Celery's ``Task`` or the class given as ``base``. A method such as
    ``on_failure`` can be replaced by something callable only.

    Raises:
        TypeError: naming the first option it does not know, and the one that was probably meant.
    """
    base = options.get("base") or Task
    attributes = {name: inspect.getattr_static(base, name, None) for name in dir(base) if name[0] != "_"}
    methods = {name for name, value in attributes.items() if inspect.isroutine(value)}
    known = UNDECLARED | (attributes.keys() - methods)
    for name, value in options.items():
        if name in known or (name in methods and callable(value)):
            continue
        meant = get_close_matches(name, known.union(own), n=1)
        raise TypeError(
            f'it has no option "{name}"; did you mean "{meant[0]}"?'
            if meant
            else f'it has no option "{name}", nor has a Celery task.'
        )
