"""What beat's messages say, beside what Celery itself would have sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task
from celery.signals import before_task_publish

from scheduled_tasks.beat.broker import Broker
from scheduled_tasks.beat.outbox import Message

from .beat import START

TEXTS = ("argsrepr", "kwargsrepr")


class Padded(Task):
    """A project's own way to send."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().apply_async((*args, "padding"), kwargs, **options)


class Renaming(Celery):
    """A project's own app, which gives every task one argument more."""

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return super().send_task(name, args, {**kwargs, "tenant": 7}, **options)


@pytest.fixture
def sent() -> Iterator[list[dict[str, Any]]]:
    """The headers and bodies of what is published."""
    found: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], body: Any, **_: Any) -> None:
        found.append({**headers, "body": body[:2]})

    before_task_publish.connect(note)
    yield found
    before_task_publish.disconnect(note)


def made(kind: type[Celery] = Celery) -> Celery:
    app = kind("project", broker="memory://", set_as_current=False)
    app.conf.task_repr_maxlevels = 2
    app.task(name="stock")(_job)
    app.task(name="padded", base=Padded)(_job)
    return app


def _job(*args: Any, **kwargs: Any) -> None: ...


def beat_sends(app: Celery, task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    entry: Any = SimpleNamespace(
        task_id=1, name="job", task=task, args=args, kwargs=kwargs, headers={}, options={}
    )
    expires = START + timedelta(days=36_500)
    broker = Broker(app)
    broker.send(Message(entry, "an-id", scheduled_for=START, expires_at=expires, give_up_at=expires))
    broker.close()


@pytest.mark.parametrize("task", ["stock", "unknown here"])
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        ([1], {}),
        (["x" * 5000, None], {"a": [1.5, {"b": [{"c": "d"}]}]}),
        ([[[[["deep"]]]]], {"k" * 600: "v" * 600}),
    ],
)
def test_the_texts_of_the_arguments_are_those_that_celery_makes(
    sent: list[dict[str, Any]], task: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    app = made()
    app.send_task(task, args=tuple(args), kwargs=kwargs)
    beat_sends(app, task, args, kwargs)
    by_celery, by_beat = ({name: each[name] for name in (*TEXTS, "body")} for each in sent)
    assert by_beat == by_celery


def test_a_task_with_its_own_way_to_send_has_its_own_arguments_told(sent: list[dict[str, Any]]) -> None:
    beat_sends(made(), "padded", [1], {})
    assert [(each["body"], each["argsrepr"]) for each in sent] == [(((1, "padding"), {}), "(1, 'padding')")]


@pytest.mark.parametrize("task", ["stock", "unknown here"])
def test_an_app_with_its_own_way_to_send_has_its_own_arguments_told(
    sent: list[dict[str, Any]], task: str
) -> None:
    beat_sends(made(Renaming), task, [], {"a": 1})
    assert [(each["body"], each["kwargsrepr"]) for each in sent] == [
        (((), {"a": 1, "tenant": 7}), "{'a': 1, 'tenant': 7}")
    ]
