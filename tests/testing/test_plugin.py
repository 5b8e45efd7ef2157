"""The pytest plugin, as pytest loads it in a project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def run_pytest(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, with this plugin alone unless ``options`` name others."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTEST"))}
    environ |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(directory)]
    plugin = ("-p", "scheduled_tasks.pytest_plugin")
    return subprocess.run(
        [*command, *plugin, *options], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_pytest_finds_it() -> None:
    found = [point.value for point in entry_points(group="pytest11") if point.name == "scheduled_tasks"]
    assert found == ["scheduled_tasks.pytest_plugin"]


def test_it_does_nothing_to_a_project_without_django(project: Path) -> None:
    (project / "test_it.py").write_text(
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    found = [n for n in sys.modules if n.partition('.')[0] in ('django', 'celery', 'kombu')]\n"
        "    assert found == []\n"
        "    ours = [n for n in sys.modules if n.startswith('scheduled_tasks')]\n"
        "    assert sorted(ours) == ['scheduled_tasks', 'scheduled_tasks.pytest_plugin']\n"
    )
    done = run_pytest(project, "-W", "error")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_its_fixtures_bring_the_database(project: Path) -> None:
    (project / "conftest.py").write_text(
        "from django.conf import settings\n"
        "def pytest_configure():\n"
        "    from celery import Celery\n"
        "    settings.configure(\n"
        "        INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth',\n"
        "            'django.contrib.admin', 'django_celery_beat', 'scheduled_tasks'],\n"
        "        DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}},\n"
        "        USE_TZ=True, DEFAULT_AUTO_FIELD='django.db.models.BigAutoField')\n"
        "    Celery('shop', include=['shop_tasks']).set_default()\n"
    )
    (project / "shop_tasks.py").write_text(
        "from scheduled_tasks import scheduled_task\n"
        "@scheduled_task('0 3 * * *')\n"
        "def purge():\n"
        "    return {'purged': 3}\n"
    )
    (project / "test_it.py").write_text(
        "def test_run(run_scheduled):\n"
        "    assert run_scheduled('purge').summary_data == {'purged': 3}\n"
        "def test_tick(tick):\n"
        "    runs = tick('purge', after='2026-06-10 12:00', until='2026-06-12 12:00')\n"
        "    assert [run.status for run in runs] == ['succeeded', 'succeeded']\n"
    )
    done = run_pytest(project, "-p", "pytest_django.plugin")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
