"""The documents: their links lead somewhere, and what they name is what the code has."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.db.models import TextChoices
from django.dispatch import Signal
from django.template.loader import get_template

from scheduled_tasks import checks, conf, scheduled_task, signals, testing
from scheduled_tasks.alerts import problems
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.decorator import check_known
from scheduled_tasks.models import Flag, Status, Trigger

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(r"`((?:[\w.]+/)+(?:\w+\.\w+)?)`")
PYTHON = re.compile(r"^( *)```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:python |`)manage\.py (\w+)")
OF_OTHERS = {"clearsessions", "crontab"}
"""Commands of apps that the tests do not have."""

ARGUMENTS = frozenset(inspect.signature(scheduled_task).parameters) - {"schedule", "celery_options"}

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub gives the headings of a document."""
    headings = HEADING.findall(document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def trees(document: Path) -> Iterator[ast.Module]:
    """The document's blocks of Python."""
    for indent, code in PYTHON.findall(document.read_text()):
        yield ast.parse(textwrap.dedent(indent + code), str(document))


def table(document: str, heading: str = "") -> list[list[str]]:
    """The rows of the first table under a heading of a document in docs, each a list of its cells."""
    text = (ROOT / "docs" / document).read_text()
    lines = text[text.index(f"# {heading}\n") if heading else 0 :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(document.read_text()):
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, fragment = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert not broken


@every_document
def test_named_files_and_folders_exist(document: Path) -> None:
    places = (ROOT, ROOT / "scheduled_tasks")
    named = PATH.findall(document.read_text())
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


@every_document
def test_named_commands_exist(document: Path) -> None:
    assert set(COMMAND.findall(document.read_text())) <= {*get_commands(), *OF_OTHERS}


@every_document
def test_python_compiles_and_imports_what_the_package_has(document: Path) -> None:
    for tree in trees(document):
        compile(tree, str(document), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scheduled_tasks"):
                module = import_module(node.module or "")
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@every_document
def test_python_names_settings_and_arguments_that_exist(document: Path) -> None:
    for tree in trees(document):
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id="SCHEDULED_TASKS")], value=ast.Dict(keys=keys)):
                    assert {ast.literal_eval(key) for key in keys if key} <= conf.DEFAULTS.keys()
                case ast.Call(func=ast.Name(id="scheduled_task"), keywords=keywords):
                    names = {str(each.arg) for each in keywords} - ARGUMENTS
                    check_known(dict.fromkeys(names), own=ARGUMENTS)


class Named(dict[str, Any]):
    """Names of a block of code; one that the rest of a project would have stands for something."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, None) or MagicMock()


DECLARING = [document for document in DOCUMENTS if "\n@scheduled_task(" in document.read_text()]


@pytest.mark.parametrize("document", DECLARING, ids=lambda path: path.name)
def test_declarations_are_accepted(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    definitions: Mapping[str, registry.TaskDefinition] = {}
    monkeypatch.setattr(registry, "definitions", definitions)
    for tree in trees(document):
        if any(isinstance(node, ast.FunctionDef) and node.decorator_list for node in tree.body):
            code = compile(tree, str(document), "exec")
            exec(code, {"__name__": "proj.tasks"}, Named(scheduled_task=scheduled_task, timedelta=timedelta))
    assert definitions


@pytest.mark.parametrize("document", ["README.md", "docs/install.md"])
@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("present", [[], ["django_celery_beat"]])
def test_settings_work_as_pasted(document: str, kind: type, present: list[str]) -> None:
    (code,) = (
        code for _, code in PYTHON.findall((ROOT / document).read_text()) if "INSTALLED_APPS = " in code
    )
    pasted = {"INSTALLED_APPS": kind(["django.contrib.admin", *present])}
    exec(code, pasted)
    assert pasted["INSTALLED_APPS"] == ["django.contrib.admin", "django_celery_beat", "scheduled_tasks"]
    assert pasted["CELERY_BEAT_SCHEDULER"] == checks.SCHEDULER


def test_settings() -> None:
    assert sorted(codes(row[0])[0] for row in table("settings.md")) == sorted(conf.DEFAULTS)


def test_system_checks() -> None:
    source = inspect.getsource(checks) + inspect.getsource(problems)
    told = re.findall(r"\b([EW]\d{3})\b", " ".join(row[0] for row in table("settings.md", "System checks")))
    assert sorted(told) == sorted(set(re.findall(r"\b[EW]\d{3}\b", source)))


def own_options(command: BaseCommand) -> set[str]:
    """The options that a command adds to Django's."""
    common = {
        option
        for action in BaseCommand().create_parser("manage.py", "")._actions
        for option in action.option_strings
    }
    parser = command.create_parser("manage.py", "")
    return {max(action.option_strings, key=len, default="") for action in parser._actions} - common - {""}


def test_commands() -> None:
    rows = {codes(row[0])[0].split()[0]: codes(row[0])[0] for row in table("reference/commands.md")}
    assert rows.keys() == {name for name, app in get_commands().items() if app == "scheduled_tasks"}
    for name, usage in rows.items():
        told = set(re.findall(r"--[\w-]+", usage))
        assert told == own_options(load_command_class("scheduled_tasks", name)), name


def test_signals() -> None:
    sent = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert {codes(row[0])[0] for row in table("signals.md")} == sent


@pytest.mark.parametrize(("heading", "choices"), [("Runs", Status), ("Tasks", Flag), ("Triggers", Trigger)])
def test_statuses(heading: str, choices: type[TextChoices]) -> None:
    told = {codes(row[1])[0]: row[0].strip("*") for row in table("reference/statuses.md", heading)}
    assert {value: label.lower() for value, label in told.items()} == {
        value: str(label).lower() for value, label in choices.choices
    }


def test_arguments_of_the_decorator() -> None:
    told = [name for row in table("declaring-tasks.md") for name in codes(row[0])]
    assert sorted(told) == sorted(ARGUMENTS)
    policy = {codes(row[0])[0] for row in table("alerts.md", "Choose when a task alerts")}
    assert policy < ARGUMENTS


def test_templates_and_blocks() -> None:
    named = [name for row in table("reference/templates.md") for name in codes(row[0])]
    assert all(get_template(f"admin/scheduled_tasks/{name}") for name in named)
    folder = ROOT / "scheduled_tasks/templates/admin/scheduled_tasks"
    text = (ROOT / "docs/reference/templates.md").read_text()
    for block, name in re.findall(r"^\| `(scheduled_tasks_\w+)` \| `([\w.]+)`", text, re.MULTILINE):
        assert f"{{% block {block} %}}" in (folder / name).read_text()


def test_tools_for_tests() -> None:
    assert {re.split(r"\W", codes(row[0])[0])[0] for row in table("testing.md")} == {*testing.__all__} - {
        "ScheduledTasksMixin"
    }
