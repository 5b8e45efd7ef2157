"""The package keeps its shape: which part may import which, and what a built wheel carries."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest
from django.core.management import call_command
from hatchling.build import build_wheel

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "scheduled_tasks"
WINGS = {
    "worker": "worker",
    "beat": "beat",
    "admin": "admin",
    "urls": "admin",
    "templatetags": "admin",
    "management": "commands",
}
"""First part of a module's name inside the package -> its wing. Everything else is the core."""

TOOLS_FOR_TESTS = "scheduled_tasks.testing"
"""May import several wings; nothing but the pytest plugin imports it, as FLOORS says."""

FLOORS = (
    (
        "conf",
        "masking",
        "values",
        "docstrings",
        "reasons",
        "cron",
        "private",
        "signals",
        "links",
        "validation",
        "moments",
    ),
    ("models", "schedules", "spread", "ticks", "once", "solar_events", "typed_moments", "access"),
    ("recording",),
    ("declarations", "upkeep", "alerts"),
    ("reading", "checks"),
    ("operations", "incidents", "importers"),
    ("beat", "worker", "admin", "urls", "templatetags", "management", "metrics"),
    ("apps", "testing", "pytest_plugin"),
)
"""The rooms of the package, ground up. A room imports rooms of lower floors, and others of its own floor as
long as that makes no circle."""

UPWARD: set[tuple[str, str]] = set()
"""Imports that still run upwards. Nothing may be added."""

SHARED_NAMES = {
    "changes", "incidents", "maintenance", "runs", "tasks",  # each room's part of one subject
    "Command", "Meta", "urls",  # Django's own
}  # fmt: skip
"""Names of modules and classes that may occur more than once, because they mean the same."""

AMBIGUOUS = {"Message"}
"""Names that still have several meanings. Nothing may be added."""

LONGEST_FILE = 350
TOO_LONG = {
    "scheduled_tasks/recording/recorder.py",
    "scheduled_tasks/recording/statements.py",
    "tests/admin/test_changes.py",
    "tests/admin/test_list.py",
    "tests/admin/test_security.py",
    "tests/beat/test_scheduler.py",
    "tests/declarations/test_registry.py",
    "tests/declarations/test_sync.py",
    "tests/e2e/test_widths.py",
    "tests/example_project/test_jobs.py",
    "tests/operations/test_operations.py",
    "tests/recording/test_statements.py",
    "tests/soak.py",
    "tests/upkeep/test_reaper.py",
}
"""Files that are still too long. Nothing may be added."""

DOORS = {"scheduled_tasks", "scheduled_tasks.apps"}
"""The public face and the composition root: they may reach into the wings, but only when called."""

PURE = (
    "scheduled_tasks.cron",
    "scheduled_tasks.validation",
    *(f"scheduled_tasks.declarations.{name}" for name in ("decorator", "registry")),
)
VAGUE = {"utils", "helpers", "services", "managers", "mixins"}
DOCUMENTED = {
    "_base_manager", "_default_manager", "_meta", "_state",  # Django's models
    "_asdict", "_fields", "_make", "_replace",  # named tuples
    "_getframe",  # sys
}  # fmt: skip
"""Underscore names that others document."""

LONGEST_FUNCTION = 35


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(module: str, path: Path) -> Iterator[str]:
    """Full names of what a module imports, also inside its functions unless it is one of the doors."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for node in tree.body if module in DOORS else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{source}.{alias.name}" for alias in node.names)


def wing(module: str) -> str | None:
    """The wing of a module of the package; None for the core and for what is outside the package."""
    top, _, rest = module.partition(".")
    return WINGS.get(rest.partition(".")[0]) if top == PACKAGE.name else None


def is_below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


OURS = [pytest.param(name, path, id=name) for name, path in modules(PACKAGE)]


@pytest.mark.parametrize(
    ("module", "path"), [case for case in OURS if not is_below(case.values[0], TOOLS_FOR_TESTS)]
)
def test_wings_never_import_one_another_and_the_core_imports_no_wing(module: str, path: Path) -> None:
    strangers = {name for name in imports(module, path) if wing(name) not in (None, wing(module))}
    assert not strangers


@pytest.mark.parametrize(("module", "path"), [case for case in OURS if wing(case.values[0]) != "admin"])
def test_only_the_admin_wing_imports_the_admin(module: str, path: Path) -> None:
    assert not [name for name in imports(module, path) if is_below(name, "django.contrib.admin")]


@pytest.mark.parametrize(("module", "path"), [case for case in OURS if is_below(case.values[0], *PURE)])
def test_pure_modules_know_no_database(module: str, path: Path) -> None:
    database = ("django.db", "django_celery_beat.models", "scheduled_tasks.models")
    assert not [found for found in imports(module, path) if is_below(found, *database)]


def room(module: str) -> str | None:
    """The first part of a module's name inside the package; None for what is outside."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] or None if top == PACKAGE.name else None


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


@pytest.fixture(scope="module")
def room_imports() -> set[tuple[str, str]]:
    """Every import of one room from another."""
    known = {name for rooms in FLOORS for name in rooms}
    found = set()
    for module, path in modules(PACKAGE):
        importer = room(module)
        if importer is None or importer == "migrations":
            continue
        assert importer in known, f"FLOORS does not name {importer}"
        found |= {(importer, imported) for name in imports(module, path) if (imported := room(name)) in known}
    return {(importer, imported) for importer, imported in found if importer != imported}


def test_no_room_imports_upwards(room_imports: set[tuple[str, str]]) -> None:
    upward = {pair for pair in room_imports if floor(pair[1]) > floor(pair[0])}
    assert not upward - UPWARD


def test_rooms_import_in_no_circle(room_imports: set[tuple[str, str]]) -> None:
    below: dict[str, set[str]] = {}
    for importer, imported in room_imports - UPWARD:
        below.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import in a circle: {' -> '.join(error.args[1])}")


def test_a_name_has_one_meaning() -> None:
    names: Counter[str] = Counter()
    for _module, path in modules(PACKAGE):
        if path.stem != "__init__" and path.parent.name != "migrations":
            names[path.stem] += 1
        names.update(
            {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}
        )
    repeated = {name for name, count in names.items() if count > 1} - SHARED_NAMES
    assert not repeated - AMBIGUOUS


def test_files_are_short() -> None:
    files = [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "example_project").rglob("*.py"),
    ]
    written = [path for path in files if path.parent.name != "migrations"]
    long = {str(path.relative_to(ROOT)) for path in written if path.read_text().count("\n") > LONGEST_FILE}
    assert not long - TOO_LONG


def test_a_web_process_loads_neither_beat_nor_worker() -> None:
    """Beyond ``celery.worker`` itself, which Celery's own support for Django imports."""
    code = """
import sys
import celery.fixups.django

celerys_own = {*sys.modules}
import django

django.setup()
import example_project.urls

heavy = ("celery.beat", "celery.worker", "celery.apps", "django_celery_beat.schedulers")
print(*[name for name in {*sys.modules} - celerys_own if name.startswith(heavy)])
"""
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "example_project.settings"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert output.split() == []


@pytest.mark.parametrize(
    ("module", "path"), [case for case in OURS if case.values[0] != "scheduled_tasks.private"]
)
def test_private_names_of_others_are_used_in_one_module(module: str, path: Path) -> None:
    """An underscore name of something that is neither ``self`` nor imported from this package."""
    found = [name for name in imports(module, path) if not is_below(name, PACKAGE.name) and "._" in name]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            found += [] if owner in ("self", "cls") else [node.attr]
    assert not found


def is_private(name: str) -> bool:
    """Whether it is an underscore name; of Python's own double ones Celery adds one."""
    return name == "__header__" or (name[0] == "_" and name[:2] != "__" and name not in DOCUMENTED)


@pytest.mark.parametrize("package", [PACKAGE, ROOT / "example_project", ROOT / "tests"], ids=lambda p: p.name)
def test_modules_are_named_by_subject(package: Path) -> None:
    assert not [name for name, _ in modules(package) if VAGUE & set(name.split("."))]


@pytest.mark.parametrize(("module", "path"), OURS)
def test_functions_are_short(module: str, path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {function.name: code_lines(function) for function in functions}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Names in a wheel built from this tree, without a network."""
    directory = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build_wheel(str(directory))
    with zipfile.ZipFile(directory / name) as archive:
        yield archive.namelist()


def test_wheel_carries_every_file_of_the_package(wheel: list[str]) -> None:
    files = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(wheel)


@pytest.mark.parametrize(
    "ending", [".html", ".css", ".js", "/0001_initial.py", "/py.typed", "/licenses/LICENSE"]
)
def test_wheel_carries(wheel: list[str], ending: str) -> None:
    assert [name for name in wheel if name.endswith(ending)]


def test_wheel_carries_nothing_else(wheel: list[str]) -> None:
    assert {name.partition("/")[0].partition("-")[0] for name in wheel} == {
        "scheduled_tasks",
        "celery_scheduled_tasks",
    }


def test_every_translation_is_compiled() -> None:
    texts = list(PACKAGE.rglob("*.po"))
    assert not [path for path in texts if not path.with_suffix(".mo").exists()]


@pytest.mark.django_db
def test_migrations_are_up_to_date() -> None:
    call_command("makemigrations", check=True, dry_run=True)
