"""The tags of this app's templates: rows, see :mod:`scheduled_tasks.admin.holes`."""

from __future__ import annotations

from django import template
from django.template import Context, Template
from django.urls import reverse
from django.utils.safestring import SafeString

from ..admin.holes import Traits, filled
from ..admin.rendered import rows_html
from ..admin.row import TaskRow
from ..admin.rows import Rows
from ..admin.run import RunRow

register = template.Library()


def _template(context: Context, name: str) -> Template:
    assert context.template is not None
    return context.template.engine.get_template(f"admin/scheduled_tasks/{name}")


def _shared(context: Context, oob: str) -> Traits:
    names = ("list_url", "beat_url", "can_change", "can_run")
    return ("oob", oob), *((name, context[name]) for name in names)


@register.simple_tag(takes_context=True)
def task_row(context: Context, task: TaskRow, oob: str = "") -> SafeString:
    """A task's row (``_row.html``); ``oob`` says where htmx puts it."""
    traits = (*_shared(context, oob), *task.row_traits)
    return filled(_template(context, "_row.html"), task.row_texts, traits)


@register.simple_tag(takes_context=True)
def task_rows(context: Context, rows: Rows) -> SafeString:
    """The rows (``_row.html``) of a page of tasks, from memory where they are as they were."""
    return rows_html(_template(context, "_row.html"), _shared(context, ""), rows)


@register.simple_tag(takes_context=True)
def run_row(context: Context, row: RunRow, name: str = "") -> SafeString:
    """A run's row (``_run_row.html``); a ``name`` makes a column that leads to the run's task."""
    site = context["request"].current_app
    texts = {**row.row_texts, "name": name, "url": _address(site, "taskrun", row.pk)}
    if name and row.run.task_id:
        texts["task_url"] = _address(site, "scheduledtask", row.run.task_id)
    return filled(_template(context, "_run_row.html"), texts, row.row_traits)


def _address(site: str, model: str, pk: int) -> str:
    return reverse(f"admin:scheduled_tasks_{model}_change", args=[pk], current_app=site)
