"""The tag of this app's templates."""

from __future__ import annotations

from django import template
from django.template import Context
from django.utils.safestring import SafeString

from ..admin.row import TaskRow
from ..admin.row_html import Frame, row_html

register = template.Library()


@register.simple_tag(takes_context=True)
def task_row(context: Context, task: TaskRow, oob: str = "") -> SafeString:
    """A task's row (``_row.html``); ``oob`` says where htmx puts it."""
    shared = (context[name] for name in ("list_url", "beat_url", "can_change", "can_run"))
    return row_html(task, Frame._make((*shared, oob)))
