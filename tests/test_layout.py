"""The package keeps its shape: which part may import which, and what a built wheel carries."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterator
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

DOORS = {"scheduled_tasks", "scheduled_tasks.apps"}
"""The public face and the composition root: they may reach into the wings, but only when called."""

PURE = tuple(
    f"scheduled_tasks.{name}"
    for name in ("cron", "cron_grammar", "cron_labels", "declarable", "registry", "task_options")
)
VAGUE = {"utils", "helpers", "services", "managers", "mixins"}
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


@pytest.mark.parametrize(("module", "path"), OURS)
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
