"""Other schedulers, installed for one test; and the command that imports from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db import connection

from tests.importers import jobs

Import = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def calls() -> list[object]:
    jobs.calls.clear()
    return jobs.calls


@pytest.fixture
def imported(transactional_db: None) -> Import:
    """Import as the command does, and return its report."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        out = StringIO()
        call_command("scheduled_tasks_import", *arguments, "--json", stdout=out)
        found: list[dict[str, Any]] = json.loads(out.getvalue())
        return found

    return run


@pytest.fixture
def install(transactional_db: None) -> Iterator[Callable[[str], None]]:
    """Put an app that is not of the example site into the project, with its tables."""
    undo: list[Callable[[], None]] = []

    def add(name: str) -> None:
        pytest.importorskip(name)
        config = AppConfig.create(name)
        config.apps = apps
        apps.app_configs[config.label] = config  # set_installed_apps() would call every app's ready() again
        config.import_models()
        apps.clear_cache()
        models = [each for each in config.get_models() if not each._meta.proxy]
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)

        def remove() -> None:
            with connection.schema_editor() as editor:
                for model in reversed(models):
                    editor.delete_model(model)
            del apps.app_configs[config.label]
            apps.clear_cache()

        undo.append(remove)

    yield add
    for remove in undo:
        remove()
