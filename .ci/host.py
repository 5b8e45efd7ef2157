"""A host project in one file: the installed package passes its checks, migrates and shows its page."""

import os
import sys
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="host",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF="host",
    STATIC_URL="static/",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django_celery_beat",
        "scheduled_tasks",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "host.sqlite3",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    },
    CELERY_BEAT_SCHEDULER="scheduled_tasks.beat:Scheduler",
)
sys.modules["host"] = sys.modules["__main__"]
django.setup()

from celery import Celery
from celery.beat import Service
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.urls import include, path

import scheduled_tasks
from scheduled_tasks import progress, scheduled_task, track

app = Celery("host", broker="memory://")
app.config_from_object("django.conf:settings", namespace="CELERY")
urlpatterns = [
    path("admin/scheduled-tasks/", include("scheduled_tasks.urls")),
    path("admin/", admin.site.urls),
]


@scheduled_task("0 3 * * *", description="Says good morning")
def say_good_morning():
    for _ in track(range(3)):
        progress(1, 3)
    return {"said": 1}


def main():
    where = Path(scheduled_tasks.__file__).parent
    assert where.is_relative_to(sys.prefix), f"not the installed package: {where}"
    call_command("check", fail_level="WARNING")
    call_command("migrate", verbosity=0)
    call_command("sync_scheduled_tasks")
    assert say_good_morning() == {"said": 1}
    assert Service(app, scheduler_cls="scheduled_tasks").scheduler_cls
    show_page(where)
    print(f"Installed in {where}: checks, migrate, sync, beat's entry point, page and static files work.")


def show_page(where):
    client = Client()
    client.force_login(User.objects.create_superuser("host"))
    page = client.get("/admin/scheduled-tasks/", follow=True)
    assert page.status_code == 200, page.status_code
    assert "say-good-morning" in page.content.decode()
    static = [file.relative_to(where / "static") for file in (where / "static").rglob("*") if file.is_file()]
    assert static
    assert all(finders.find(str(file)) for file in static)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "host"
    main()
