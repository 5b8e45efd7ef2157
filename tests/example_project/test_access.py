"""Who may enter the Scheduled tasks page: the example site's own rule, and the default gate without it."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission
from django.test import Client, RequestFactory
from django.urls import reverse

from example_project.access import administers_jobs
from example_project.sample_data import PEOPLE, ensure_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def address() -> str:
    return reverse("admin:scheduled_tasks_scheduledtask_changelist")


def user(name: str):
    ensure_people()
    return get_user_model().objects.get(username=name)


def allowed(person) -> set[str]:
    request = RequestFactory().get("/")
    request.user = person
    return {action for action in ("view", "change", "run") if administers_jobs(request, action)}


EVERYTHING = {"view", "change", "run"}


@pytest.mark.parametrize(
    ("single_tenant", "rights"),
    [
        (True, {"admin": EVERYTHING, "tenant-admin": EVERYTHING, "staff": set()}),
        (False, {"admin": EVERYTHING, "tenant-admin": set(), "staff": set()}),
    ],
)
def test_global_administrators_may_where_there_is_a_single_tenant(settings, single_tenant, rights):
    settings.SINGLE_TENANT = single_tenant
    assert {name: allowed(user(name)) for name in PEOPLE} == rights


@pytest.mark.parametrize("lacking", ["is_staff", "is_active"])
@pytest.mark.parametrize("name", ["admin", "tenant-admin"])
def test_an_administrator_who_may_not_enter_the_admin_may_nothing(name, lacking):
    person = user(name)
    setattr(person, lacking, False)
    assert allowed(person) == set()


def test_the_rule_holds_for_visitors_and_people_of_no_tenant():
    stranger = get_user_model().objects.create_user("stranger", is_staff=True)
    assert allowed(AnonymousUser()) == set()
    assert allowed(stranger) == set()


@pytest.mark.parametrize(("name", "status"), [("admin", 200), ("tenant-admin", 200), ("staff", 403)])
def test_the_page_follows_the_rule(name, status, address):
    client = Client()
    client.force_login(user(name))
    assert client.get(address).status_code == status


def test_the_page_closes_to_tenants_where_there_are_several(settings, address):
    settings.SINGLE_TENANT = False
    client = Client()
    client.force_login(user("tenant-admin"))
    assert client.get(address).status_code == 403


def test_without_the_rule_permissions_decide(settings, address):
    settings.SCHEDULED_TASKS = {}
    staff = user("staff")
    client = Client()
    client.force_login(user("tenant-admin"))
    assert client.get(address).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_scheduledtask"))
    client.force_login(staff)
    assert client.get(address).status_code == 200
    client.force_login(user("admin"))
    assert client.get(address).status_code == 200


def test_visitors_get_the_login(client, address):
    assert client.get(address).url.startswith(reverse("admin:login"))
