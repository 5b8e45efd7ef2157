"""Links out: filled in with quoted values, and never to anything but a web address."""

from __future__ import annotations

import pytest

from scheduled_tasks.links import FIELDS, filled, problem_of

VALUES = {
    "celery_id": "a/b?c&d",
    "name": "über the moon",
    "worker": "w@host",
    "started_at": "2026-01-02T03:04:05.000Z",
    "finished_at": "",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("https://x.test/?q={celery_id}", "https://x.test/?q=a%2Fb%3Fc%26d"),
        ("http://x.test/{name}/{worker}", "http://x.test/%C3%BCber%20the%20moon/w%40host"),
        (
            "https://x.test/?from={started_at}&to={finished_at}",
            "https://x.test/?from=2026-01-02T03%3A04%3A05.000Z&to=",
        ),
        ('https://x.test/?panes={"a":["{celery_id}"]}', 'https://x.test/?panes={"a":["a%2Fb%3Fc%26d"]}'),
        ("https://x.test/{password}", ""),
        ("javascript:alert({celery_id})", ""),
        ("{celery_id}", ""),
        ("https://", ""),
        ("https://[", ""),
    ],
)
def test_filled(template: str, expected: str) -> None:
    assert filled(template, VALUES) == expected


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "finished_at"])
def test_a_link_that_needs_what_is_missing_is_left_out(name: str) -> None:
    assert filled(f"https://x.test/{{{name}}}", {**VALUES, name: ""}) == ""


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("https://x.test/{celery_id}", ""),
        ("https://{name}.x.test/", ""),
        (5, "is no text"),
        ("https://x.test/{id}", "names {id}, which is none of celery_id, started_at"),
        ("javascript:alert(1)", "is no http or https address"),
        ("/logs/{celery_id}", "is no http or https address"),
    ],
)
def test_problem_of(template: object, problem: str) -> None:
    assert problem_of(template).startswith(problem)
    assert bool(problem_of(template)) == bool(problem)
