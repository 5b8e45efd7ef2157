"""Real processes of a small site that sync: at once, one after another with other code, and in its tests."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.live import PATIENCE, wait_for

SETTINGS = """
import json
import os
import dj_database_url

SECRET_KEY = "shop"
USE_TZ = True
TIME_ZONE = "Europe/Paris"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes",
    "django_celery_beat", "scheduled_tasks", "shop",
]
# Without options: SQLite as Django leaves it.
DATABASES = {"default": dj_database_url.parse(os.environ["SHOP_DATABASE"])}
CELERY_BROKER_URL = "memory://"
CELERY_BEAT_SCHEDULE = {"ping": {"task": "shop.tasks.ping", "schedule": 30}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
CELERY = """
from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
TASKS = """
import os, time
from pathlib import Path
from celery import shared_task
from scheduled_tasks import scheduled_task

gate = Path(os.environ.get("SHOP_GATE", "."))
if "SHOP_GATE" in os.environ:
    (gate / f"waiting-{os.getpid()}").touch()
    while not (gate / "open").exists():
        time.sleep(0.002)

@shared_task
def ping(): pass
"""
TASK = """
@scheduled_task("{cron}", name="{name}")
def {function}(): pass
"""
COUNTS = """
import json
from django_celery_beat.models import PeriodicTask
from scheduled_tasks.models import CodeDefault, TaskState
rows = PeriodicTask.objects.order_by("name").values_list("name", "enabled", "crontab__hour")
print("ROWS", json.dumps([list(rows), CodeDefault.objects.count(), TaskState.objects.count()]))
"""


class Site:
    """A Django project in a directory of its own; ``run`` runs one of its management commands."""

    def __init__(self, path, database):
        self.path, self.database = path, database
        self.package = path / "shop"
        self.package.mkdir()
        self.write("__init__.py", "from .celery import app")
        self.write("settings.py", SETTINGS)
        self.write("celery.py", CELERY)
        self.write("models.py", "")

    def write(self, name, text):
        (self.package / name).write_text(text)

    def declare(self, **crons):
        tasks = [
            TASK.format(cron=cron, name=name.replace("_", "-"), function=name) for name, cron in crons.items()
        ]
        self.write("tasks.py", TASKS + "".join(tasks))

    def start(self, *arguments, module="django", **variables):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "CELERY_"))
        }
        environment |= {
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": f"{self.path}:{os.getcwd()}",
            "SHOP_DATABASE": self.database,
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, module="django", status=0):
        """What the command wrote on both streams; fails when it does not end with ``status``."""
        return ended(self.start(*arguments, module=module), status=status)

    def rows(self):
        """The stored tasks (name, enabled, hour), and how many code defaults and states there are."""
        out = self.run("shell", "-v", "0", "-c", COUNTS)
        tasks, *counts = json.loads(re.search(r"ROWS (.*)", out)[1])
        return {name: (enabled, hour) for name, enabled, hour in tasks}, *counts


def ended(process, *, status=0):
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, out + errors
    return out + errors


@pytest.fixture
def site(tmp_path, db):
    """A site without tables, on an empty database of the kind this run is about."""
    if connection.vendor == "sqlite":
        yield Site(tmp_path, f"sqlite:///{tmp_path}/shop.sqlite3")
        return
    name = "test_shop_site"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    yield Site(tmp_path, urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl())
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def test_migrate_makes_the_tables_and_the_declared_tasks(site):
    site.declare(nightly="0 3 * * *", at_noon="0 12 * * *")
    out = site.run("migrate")
    assert "Scheduled tasks: nightly: created (0 3 * * * Europe/Paris)" in out
    assert site.rows() == (
        {"nightly": (True, "3"), "at-noon": (True, "12"), "ping": (True, None)},
        3,
        3,
    )
    assert "Scheduled tasks" not in site.run("migrate")


def test_migrate_for_another_app_only(site):
    """On an empty database it finds no tables of ours; later it has nothing to change."""
    site.declare(nightly="0 3 * * *")
    assert "Scheduled tasks" not in site.run("migrate", "auth")
    site.run("migrate")
    before = site.rows()
    assert "Scheduled tasks" not in site.run("migrate", "auth")
    assert site.rows() == before
    assert "Scheduled tasks" not in site.run("migrate", "scheduled_tasks", "zero")


def at_once(site, gate, commands):
    """Start the commands, let go all of them when each is about to sync; what they wrote."""
    gate.mkdir()
    processes = [site.start(*command, SHOP_GATE=str(gate)) for command in commands]
    wait_for(
        lambda: len(list(gate.glob("waiting-*"))) == len(commands) or any(p.poll() for p in processes),
        message="every command imports the tasks",
    )
    (gate / "open").touch()
    return [ended(process) for process in processes]


def test_processes_that_sync_at_once(site, tmp_path):
    """On tables that are there but empty, then with other code."""
    site.declare(**{f"job_{n}": "0 3 * * *" for n in range(20)})
    site.write("__init__.py", "")  # without its app the site syncs nothing
    site.run("migrate")
    assert site.rows()[0] == {}
    site.write("__init__.py", "from .celery import app")
    commands = [["sync_scheduled_tasks"], ["migrate"], ["sync_scheduled_tasks"], ["migrate", "auth"]]
    for hour in ("3", "4"):
        site.declare(**{f"job_{n}": f"0 {hour} * * *" for n in range(20)})
        outputs = at_once(site, tmp_path / f"gate-{hour}", commands)
        assert not [out for out in outputs if "not synced" in out or "refused" in out]
        tasks, defaults, states = site.rows()
        jobs = {name: state for name, state in tasks.items() if name != "ping"}
        assert jobs == {f"job-{n}": (True, hour) for n in range(20)}
        assert (defaults, states) == (21, 21)
        assert "0 of 21 tasks would change" in site.run("sync_scheduled_tasks", "--check")


def test_old_and_new_code_in_turn(site):
    """A rolling deploy, and an operator who edits in the middle of it."""
    old, new = {"nightly": "0 3 * * *"}, {"nightly": "0 4 * * *", "added": "0 5 * * *"}
    site.declare(**old)
    site.run("migrate")
    site.declare(**new)
    site.run("migrate")
    edit = "from django_celery_beat.models import *\nt = PeriodicTask.objects.get(name='added')\n"
    edit += "t.description = 'mine'; t.crontab = CrontabSchedule.objects.create(minute=0, hour=9); t.save()"
    site.run("shell", "-c", edit)
    for code in (old, new, old, new):
        site.declare(**code)
        site.run("sync_scheduled_tasks")
    assert site.rows()[0] == {"nightly": (True, "4"), "added": (True, "9"), "ping": (True, None)}


def test_a_broken_task_module_fails_no_migration(site):
    site.declare(nightly="0 3 * * *")
    site.run("migrate")
    site.write("tasks.py", "import no_such_module")
    out = site.run("migrate")
    assert (
        "A task module could not be imported (ModuleNotFoundError: No module named 'no_such_module')" in out
    )
    assert site.rows()[0]["nightly"] == (True, "3")
    site.run("sync_scheduled_tasks", status=1)


def test_a_wrong_declaration_is_named_by_the_command(site):
    site.declare(nightly="0 3 * * *")
    site.run("migrate")
    site.declare(nightly="0 25 * * *")
    out = site.run("sync_scheduled_tasks", status=1)
    tasks = site.package / "tasks.py"
    assert f'File "{tasks}", line 16: scheduled task "nightly": hour: 25 is out of range (0-23).' in out


HOST_TEST = """
from django.test import TestCase
from django_celery_beat.models import PeriodicTask
from scheduled_tasks.models import CodeDefault, TaskState

class NothingIsThere(TestCase):
    def test_no_row(self):
        for model in (PeriodicTask, CodeDefault, TaskState):
            assert not model.objects.exists(), model
"""


@pytest.mark.parametrize(
    ("module", "arguments", "passed"),
    [
        ("django", ["test", "shop", "--noinput"], "Ran 1 test"),
        ("pytest", ["-p", "no:cacheprovider", "shop/tests.py"], "1 passed"),
    ],
)
def test_a_sites_own_tests_find_no_task(site, module, arguments, passed):
    site.declare(nightly="0 3 * * *")
    site.write("tests.py", HOST_TEST)
    assert passed in site.run(*arguments, module=module)


ROUTER = """
class Router:
    def db_for_read(self, model, **hints):
        return "jobs" if model._meta.app_label in ("django_celery_beat", "scheduled_tasks") else None

    db_for_write = db_for_read
"""
TWO_DATABASES = """
jobs = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_JOBS"]}
DATABASES = {"default": {**jobs, "NAME": ":memory:"}, "jobs": jobs}
DATABASE_ROUTERS = ["shop.router.Router"]
"""
OPERATIONS = """
from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask
from django.db import connections
from shop.celery import app
log = lambda task, text: print(text, "jobs" if connections["jobs"].in_atomic_block else "elsewhere")
anna = operations.Actor("anna", log)
pk = ScheduledTask.objects.get(name="nightly").pk
operations.disable(pk, actor=anna)
operations.reschedule(pk, actor=anna, expression="0 4 * * *", timezone="UTC")
run = operations.run_now(pk, actor=anna, celery_id="one")
operations.cancel(run.pk, actor=anna)
"""


def test_tasks_in_a_database_of_their_own(tmp_path):
    site = Site(tmp_path, "")
    site.write("settings.py", SETTINGS.replace("DATABASES =", "#") + TWO_DATABASES)
    site.write("router.py", ROUTER)
    site.declare(nightly="0 3 * * *")
    jobs = {"SHOP_JOBS": str(tmp_path / "jobs.sqlite3")}
    assert "nightly: created" in ended(site.start("migrate", "--database", "jobs", **jobs))
    done = ended(site.start("shell", "-v", "0", "-c", OPERATIONS, **jobs))
    for said in ("Disabled.", "→ 0 4 * * * (UTC).", "Run now.", "Cancelled run 1."):
        assert f"{said} jobs" in done


RUN_NOW = """
from celery.signals import before_task_publish
from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask
before_task_publish.connect(lambda routing_key, **kw: print("queue:", routing_key), weak=False)
anna = operations.Actor("anna", lambda task, text: None)
operations.run_now(ScheduledTask.objects.get(name="ping").pk, actor=anna, celery_id="one")
"""


@pytest.mark.parametrize(("module", "queue"), [("", "special"), ("import no_such_module", "celery")])
def test_run_now_in_a_process_that_has_not_imported_the_tasks(site, module, queue):
    """A web process: the queue that a task names in its own code counts as it does in beat."""
    tasks = TASKS.replace("@shared_task", '@shared_task(queue="special")')
    site.write("tasks.py", tasks)
    site.run("migrate")
    site.write("tasks.py", module + tasks)
    assert f"queue: {queue}" in site.run("shell", "-v", "0", "-c", RUN_NOW)
