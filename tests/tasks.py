"""Celery tasks that tests run in real workers. They are not scheduled: a test schedules what it needs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from uuid import uuid4

from celery import Signature, Task, chord, group, shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.utils.log import get_task_logger
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext_lazy

from scheduled_tasks.worker.current_run import current_run
from scheduled_tasks.worker.output import progress, track


@shared_task
def add(x: float, y: float) -> float:
    return x + y


@shared_task
def tell_scheduled_time() -> str:
    run = current_run()
    assert run is not None
    assert run.scheduled_for is not None
    return f"{run.actor}, {run.scheduled_for:%d %H:%M}"


@shared_task
def fail(message: str = "this task always fails") -> None:
    raise ValueError(message)


@shared_task
def wait(seconds: float) -> None:
    time.sleep(seconds)


@shared_task
def wait_for_file(path: str, seconds: float = 600) -> str:
    """Runs until the test makes the file: no test needs to guess how long a task is under way."""
    deadline = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} was not made within {seconds} s")
        time.sleep(0.02)
    return path


@shared_task
def die(number: int = signal.SIGKILL) -> None:
    """Ends its own worker process, as the kernel does when memory runs out."""
    os.kill(os.getpid(), number)


@shared_task(bind=True, max_retries=3)
def succeed_at_attempt(self: Task, attempt: int, countdown: float = 0) -> int:
    """Fails and retries until ``attempt`` (counted from 1) is reached."""
    if self.request.retries + 1 < attempt:
        raise self.retry(exc=ConnectionError("not yet"), countdown=countdown)
    return self.request.retries + 1


@shared_task(bind=True)
def hostname(self: Task) -> str:
    return self.request.hostname


@shared_task
def count_users() -> int:
    return User.objects.count()


@shared_task
def ignore() -> None:
    raise Ignore()


@shared_task
def reject() -> None:
    raise Reject("no reason", requeue=False)


@shared_task(bind=True, acks_late=True)
def put_back_once(self: Task) -> str:
    """Puts its own message back, and succeeds when it comes again."""
    if not self.request.delivery_info["redelivered"]:
        raise Reject("not yet", requeue=True)
    return "again"


@shared_task(bind=True)
def hand_on(self: Task) -> None:
    raise self.replace(add.s(1, 2))


@shared_task
def leave() -> None:
    raise SystemExit(3)


@shared_task
def write_and_leave_open(username: str) -> None:
    """Starts a transaction and neither commits nor rolls it back."""
    connection.set_autocommit(False)
    User.objects.create(username=username)


@shared_task
def break_transaction() -> None:
    """Leaves a transaction behind in which no further statement works."""
    connection.set_autocommit(False)
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


@shared_task(acks_late=True, reject_on_worker_lost=True)
def die_once(path: str) -> str:
    """Kills its worker process the first time; the message comes back for a second time."""
    if not Path(path).exists():
        Path(path).touch()
        die()
    return "survived"


@shared_task
def report(path: str, steps: int) -> dict[str, object]:
    """Logs, prints and reports progress, then waits for the test to have seen it."""
    for step in track(range(steps), description="Stepping"):
        logging.getLogger("a.library").warning("step %s", step)
    get_task_logger(__name__).warning("from the task's logger")
    print("printed", "words")
    wait_for_file(path)
    return {"steps": steps, "api_key": "do not keep"}


@shared_task(capture_logs=False)
def report_discreetly(path: str, steps: int) -> dict[str, object]:
    return report(path, steps)


@shared_task
def catch_soft_limit() -> str:
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "in time"
    return "too late"


@shared_task(acks_late=True)
def die_acks_late() -> None:
    die()


@shared_task(bind=True, retry_on_worker_lost=True, default_retry_delay=1, max_retries=1)
def die_and_be_retried(self: Task) -> str:
    """Kills its worker process the first time; Celery sends its message again."""
    if not self.request.retries:
        die()
    return "survived"


@shared_task(ignore_result=True)
def add_and_forget(x: float, y: float) -> float:
    return x + y


@shared_task
def start_another(queue: str) -> str:
    return str(add.apply_async((1, 2), queue=queue).id)


class DiesAfterItsEnd(Task):
    """Dies between the storing of its result and the end that Celery signals."""

    def after_return(self, *args: object) -> None:
        die()


@shared_task(base=DiesAfterItsEnd)
def die_after_the_end() -> dict[str, int]:
    return {"rows": 3}


@shared_task(acks_late=True)
def wait_for_file_acks_late(path: str) -> str:
    return wait_for_file(path)


@shared_task
def write_slowly(username: str, seconds: float) -> str:
    """Holds a transaction open, and SQLite's only write lock with it, while it reports progress."""
    with transaction.atomic():
        User.objects.create(username=username)
        for _ in track(range(20), description="Writing"):
            time.sleep(seconds / 20)
    return username


@shared_task
def break_connection_and_go_on(path: str) -> int:
    """Uses the database before and after the test has broken its connection."""
    User.objects.count()
    Path(path).touch()
    wait_for_file(path + ".broken")
    return 1


@shared_task
def wait_for_file_and_fail(path: str) -> None:
    wait_for_file(path)
    raise ValueError("as meant")


@shared_task
def stamp(path: str) -> None:
    """Writes down when it ran, in seconds of ``time.time()``."""
    Path(path).write_text(f"{time.time()}")


@shared_task
def work_in_a_loop(username: str, queue: str) -> int:
    """Uses the database, reports progress and sends a scheduled task from within an event loop."""

    async def body() -> int:
        for _ in track(range(2), description="Looping"):
            await User.objects.acreate(username=f"{username} {uuid4().hex}")
        add.apply_async((1, 1), queue=queue, headers={"periodic_task_name": username})
        return await User.objects.acount()

    return asyncio.run(body())


@shared_task
def fail_with_what_cannot_be_pickled() -> None:
    raise HTTPError("http://x/", 503, "busy", Message(), None)


@shared_task(bind=True)
def retry_after_what_cannot_be_pickled(self: Task) -> None:
    raise self.retry(exc=HTTPError("http://x/", 503, "busy", Message(), None), countdown=3600)


@shared_task(bind=True)
def retry_and_go_on(self: Task) -> int:
    """Asks for its retry without leaving its function by it."""
    if not self.request.retries:
        self.retry(throw=False, countdown=0)
    return int(self.request.retries)


class Failing(Task):
    """A task whose class fails while it handles a failure."""

    def on_failure(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("no mail server")


@shared_task(base=Failing)
def fail_and_fail_to_say_so() -> None:
    raise ValueError("the error of the task")


@shared_task(bind=True)
def pass_headers_on(self: Task, queue: str | None = None) -> str:
    """Sends another task with the headers of its own message."""
    return str(add.apply_async((1, 2), headers=self.request.headers, queue=queue).id)


@shared_task
def report_what_is_no_text() -> str:
    logging.getLogger("tests.tasks").warning("a line")
    progress(1, 3, cast("str", gettext_lazy("lazily")))
    for _ in track([1], description=cast("str", None)):
        pass
    return "done"


@shared_task(bind=True)
def hand_on_to(self: Task, kind: str, *args: object) -> None:
    """Replaces itself by what :data:`CANVASES` makes under this name."""
    raise self.replace(CANVASES[kind](*args))


CANVASES: dict[str, Callable[..., Signature]] = {
    "chain": lambda: add.s(1, 2) | add.s(3),
    "group": lambda: group(add.s(1, 2), add.s(3, 4)),
    "chord with a chain": lambda: chord([add.s(1, 2)], head.s() | add.s(4)),
    "nested": lambda: hand_on_to.s("chain") | add.s(4),
    "failing chain": lambda: fail.s("the first") | add.s(1),
    "failing end": lambda: add.s(1, 2) | fail_with.s(),
    "failing group": lambda: group(add.s(1, 2), fail.si("in a group")),
    "failing inside": lambda: add.si(1, 2) | group(add.si(1, 2) | fail.si("inside"), add.si(3, 4)),
    "group after a chord": lambda: chord([add.si(1, 2)], group(head.s(), head.s())),
    "failing nested": lambda: hand_on_to.si("failing chain") | add.s(4),
    "retrying": lambda: succeed_at_attempt.si(2) | add.s(1),
    "ignored": lambda: ignore.si() | add.s(1),
    "rejected": lambda: reject.si() | add.s(1),
    "killed": lambda: die.si() | add.s(1),
    "timed out": lambda: wait.si(600).set(time_limit=1) | add.s(1),
    "waiting": lambda path: wait_for_file.si(path) | add.si(1, 2),
}


@shared_task
def head(values: list[float]) -> float:
    return values[0]


@shared_task
def fail_with(value: float) -> None:
    raise ValueError(f"the last, with {value}")


@shared_task
def send_a_failing_canvas() -> None:
    (fail.s("beside") | add.s(1)).apply_async()
    chord([fail.s("beside"), add.s(1, 2)], head.s()).apply_async()
    time.sleep(1)
