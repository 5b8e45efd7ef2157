"""The code to paste, whatever the names and arguments of what another scheduler ran."""

from __future__ import annotations

import sys
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from django.core.management import call_command

from scheduled_tasks.importers.found import Found
from scheduled_tasks.importers.pasted_code import pasted_code
from scheduled_tasks.validation import Invalid
from tests.importers import jobs

DAILY = "0 3 * * *"


def code(
    name: str = "report",
    taken: set[str] | None = None,
    *,
    path: str = "tests.importers.jobs.report",
    origin: str = "here",
    **kwargs: Any,
) -> str:
    found = Found(name=name, schedule=DAILY, path=path, kwargs=kwargs)
    return pasted_code(found, DAILY, origin, set() if taken is None else taken)


def functions(text: str) -> dict[str, Any]:
    """What the module has besides the decorator."""
    module: dict[str, Any] = {"scheduled_task": lambda *args, **kwargs: lambda function: function}
    exec(text, module)
    return {name: value for name, value in module.items() if name not in ("scheduled_task", "__builtins__")}


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("²", "run_2"),
        ("class", "run_class"),
        ("print", "run_print"),
        ("scheduled_task", "run_scheduled_task"),
        ("日本", "run"),
        ("Été 2", "ete_2"),
        ("shop.cron.a_b", "shop_cron_a_b"),
    ],
)
def test_names_of_functions(name: str, function: str) -> None:
    assert [*functions(code(name))] == [function]


def test_no_two_functions_have_one_name() -> None:
    taken: set[str] = set()
    text = "\n".join(code(name, taken) for name in ("fix", "ﬁx", "FIX", "fix 2", "日本", "中国"))
    assert [*functions(text)] == ["fix", "fix_2", "fix_3", "fix_2_2", "run", "run_2"]


@pytest.mark.parametrize(
    "kwargs", [{"class": 1}, {"ﬁ": 1}, {"__debug__": 1}, {"a b": 1, "c": "\u202e"}, {"plain": [1]}]
)
def test_arguments_arrive_as_they_were(kwargs: dict[str, Any], calls: list[object]) -> None:
    functions(code(**kwargs))["report"]()
    assert calls == [((), kwargs)]


def test_what_does_not_compile_is_left_out() -> None:
    with pytest.raises(Invalid, match=r"no code can be written for shop\.async\.report \(invalid syntax\)\."):
        code(path="shop.async.report")


def test_no_terminal_is_steered(
    settings: Any, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> None:
    odd = "re\x1bp\u202eo\x9br\u2028t"
    monkeypatch.setitem(sys.modules, odd, module := ModuleType("odd"))
    module.report = jobs.report  # type: ignore[attr-defined]
    settings.CRONJOBS = [(DAILY, "tests.importers.jobs.report", [odd]), (DAILY, f"{odd}.report")]
    out = StringIO()
    call_command("scheduled_tasks_import", "django-crontab", "--dry-run", stdout=out)
    assert "return report('re\\x1bp\\u202eo\\x9br\\u2028t')" in out.getvalue()
    assert "left out: re\\x1bp\\u202eo\\x9br t.report" in out.getvalue()
    assert all(each.isprintable() for line in out.getvalue().split("\n") for each in line)


def test_the_comment_stays_a_comment() -> None:
    text = code(origin="a\x85b\rc\fd\x1be\u202ef")
    assert text.startswith("# From a b c d\\x1be\\u202ef\n@scheduled_task(")
