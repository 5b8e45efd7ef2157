"""Making a new task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from ..declarations.fields import change
from ..declarations.plan import folded
from ..masking import printable
from ..models import SYNC_LEASE, CodeDefault, Lease, PausedBy, ScheduledTask, database, database_now
from ..recording.connection import keepable
from .audit import Event, brought_in
from .locking import Actor, Refused, task_of
from .restoring import left_token, newest_run


def add(name: str, task: str, values: Mapping[str, Any], *, actor: Actor) -> ScheduledTask:
    """Make a task of this name that runs the Celery task ``task``, from its next tick on.

    ``values`` are those of :data:`..declarations.fields.FIELDS`, a schedule among them. Raises
    :class:`Refused` for a name that is in use or in code and for what django-celery-beat refuses, and what
    :func:`..declarations.fields.change` raises for a schedule that is none.
    """
    texts = {key: _kept(value) if isinstance(value, str) else value for key, value in values.items()}
    name, by = _kept(name), keepable(actor.name)[:150]
    with made(name, _used(name)):
        refuse_used_name(name)
        now, new = database_now(), ScheduledTask(name=name, task=_kept(task))
        pause = {"paused_by": PausedBy.OPERATOR, "paused_by_name": by, "paused_at": now}
        change(new, texts, now, **({} if texts.get("enabled", True) else pause))
        log_brought_in(Event.ADDED, new.pk, actor)
    return task_of(new.pk)


def log_brought_in(event: Event, task_id: int, actor: Actor) -> None:
    """Log that the task was added or restored, with what tells later that nothing has become of it since."""
    task = task_of(task_id)
    actor.log(task, brought_in(event, left_token(task), newest_run(task)))


@contextmanager
def made(name: str, used: Refused) -> Iterator[None]:
    """The transaction in which a task of this name is made. It waits for a sync.

    Raises ``used`` where another one made it at the same moment, and :class:`Refused` for what
    django-celery-beat refuses.
    """
    Lease.objects.get_or_create(name=SYNC_LEASE)
    try:
        with transaction.atomic(using=database()):
            # On SQLite only a transaction that begins with a write waits its turn.
            Lease.objects.filter(name=SYNC_LEASE).update(epoch=F("epoch"))
            yield
    except IntegrityError as error:
        raise used from error
    except ValidationError as error:
        why = " ".join(dict.fromkeys(error.messages))  # one of them may be told of several fields
        message = _("%(name)s cannot be saved: %(error)s") % {"name": name, "error": why}
        raise Refused("invalid", message) from error


def refuse_used_name(name: str, task_id: int | None = None) -> None:
    """Raise :class:`Refused` where a task of this name exists, or code declares one for another task's id."""
    if ScheduledTask.objects.filter(name=name).exists():
        raise _used(name)
    declared = CodeDefault.objects.filter(gone_since=None).exclude(pk=task_id).values_list("name", flat=True)
    if folded(name) in map(folded, declared):  # the next sync would take it over
        message = _("The name “%(name)s” is declared in code. Choose another one.")
        raise Refused("name", message % {"name": name})


def _used(name: str) -> Refused:
    return Refused("name", _("The name “%(name)s” is in use. Choose another one.") % {"name": name})


def _kept(text: str) -> str:
    return keepable(printable(text))
