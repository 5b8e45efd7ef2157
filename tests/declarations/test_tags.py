"""Tags in declarations: what is taken, what is refused, and what a deployment does to them."""

from __future__ import annotations

import pytest

from scheduled_tasks import validation
from scheduled_tasks.models import TaskState
from tests.declarations.test_alert_policy import app, deploy, edited, operator_sets

__all__ = ["app", "deploy"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [((), None), (["nightly"], "nightly"), (("b", "a", "b"), "b,a"), (["día-1", "100%"], "día-1,100%")],
)
def test_tags_are_kept_in_order_each_once(given, stored):
    assert validation.tags("tags", given) == stored


@pytest.mark.parametrize(
    "given",
    ["nightly", None, 5, ["a,b"], ["two words"], [""], ["x" * 31], [1], ["a:b"], ['"'], {"a": 1}, ["\x00"]],
)
def test_what_is_no_tag_is_refused_in_a_sentence(given):
    with pytest.raises(validation.Invalid, match=r"^tags .*\.$"):
        validation.tags("tags", given)


def test_all_tags_together_fit_the_column():
    many = [f"{n:030}" for n in range(7)]
    with pytest.raises(validation.Invalid, match="200 is the most"):
        validation.tags("tags", many)
    assert TaskState._meta.get_field("tags").max_length == validation.TAGS_LENGTH


@pytest.mark.django_db
def test_tags_follow_the_code_until_somebody_changes_them(deploy):
    deploy(tags=["a"])
    assert deploy(tags=["a", "b"]).problems == ()
    assert TaskState.objects.get().tags == "a,b"
    operator_sets(tags="mine")
    deploy(tags=["c"])
    assert (TaskState.objects.get().tags, edited()) == ("mine", ("tags",))


@pytest.mark.django_db
def test_code_without_tags_takes_them_away(deploy):
    deploy(tags=["a"])
    deploy()
    assert TaskState.objects.get().tags == ""
