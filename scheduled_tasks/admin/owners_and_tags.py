"""The owners and tags in use: the list's filters by them, and what forms suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from ..models import ScheduledTaskQuerySet

OWNER, TAG = "owner", "tag"
"""Query parameters of the two filters."""

MOST = 200
"""Owners, and tags, that are offered."""

HAS_ANY = Q(scheduled_state__owner__gt="") | Q(scheduled_state__tags__gt="")
"""Whether a task has an owner or a tag."""


@dataclass(frozen=True)
class OwnersAndTags:
    """How many tasks have each pair of an owner and tags, ``(owner, tags, number)``, if they have any."""

    rows: tuple[tuple[str, tuple[str, ...], int], ...] = ()

    @classmethod
    def of(cls, tasks: ScheduledTaskQuerySet) -> OwnersAndTags:
        """Those of these tasks: one statement."""
        some = tasks.countable().filter(HAS_ANY)
        found = some.values_list("scheduled_state__owner", "scheduled_state__tags").annotate(n=Count("pk"))
        return cls(tuple((owner, tuple(filter(None, tags.split(","))), n) for owner, tags, n in found))

    @cached_property
    def owners(self) -> dict[str, int]:
        """The owners, each with the number of its tasks."""
        return self.owners_with("")

    @cached_property
    def tags(self) -> dict[str, int]:
        """The tags, each with the number of its tasks."""
        return self.tags_with("")

    def owners_with(self, tag: str) -> dict[str, int]:
        """The same of the tasks that have this tag, if one is given."""
        counted: Counter[str] = Counter()
        for owner, tags, n in self.rows:
            if owner:
                counted[owner] += n if not tag or _has(tags, tag) else 0
        return dict(sorted(counted.items(), key=lambda each: each[0].casefold())[:MOST])

    def tags_with(self, owner: str) -> dict[str, int]:
        """The same of the tasks of this owner. Upper and lower case count as one, as in the filter."""
        counted: Counter[str] = Counter()
        spelt: dict[str, str] = {}
        for of, tags, n in self.rows:
            for tag in {each.casefold(): each for each in tags}.values():
                spelling = spelt.setdefault(tag.casefold(), tag)
                counted[spelling] += n if not owner or of == owner else 0
        return dict(sorted(counted.items(), key=lambda each: each[0].casefold())[:MOST])


def _has(tags: tuple[str, ...], tag: str) -> bool:
    return tag.casefold() in {each.casefold() for each in tags}


def chosen(query: Mapping[str, Any], name: str) -> str:
    """The owner or the tag that an address chooses; empty for all."""
    return str(query.get(name) or "").replace("\x00", "")


def labelled(tasks: ScheduledTaskQuerySet, query: Mapping[str, Any]) -> ScheduledTaskQuerySet:
    """Those of the tasks that have the owner and the tag that an address chooses."""
    if owner := chosen(query, OWNER):
        tasks = tasks.filter(scheduled_state__owner=owner)
    if tag := chosen(query, TAG):
        tasks = tasks.tagged(tag)
    return tasks


class LabelFilter(admin.SimpleListFilter):
    """Only tasks with one owner, or one tag: the list's menus and the labels of its rows are its links."""

    title: Any = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("", "")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        query = {str(self.parameter_name): self.value()}
        return labelled(cast(ScheduledTaskQuerySet, queryset), query)


class OwnerFilter(LabelFilter):
    """Only tasks with one owner."""

    title = _("owner")
    parameter_name = OWNER


class TagFilter(LabelFilter):
    """Only tasks with one tag."""

    title = _("tags")
    parameter_name = TAG
