"""Tasks of a codebase that knows nothing of this app."""

from celery import shared_task


@shared_task(name="tests.tasks.stamp")
def stamp(path: str) -> None:
    with open(path, "a") as file:
        file.write("ran\n")


@shared_task
def other(path: str) -> None:
    """One that only this codebase has."""
    with open(path, "a") as file:
        file.write("ran\n")
