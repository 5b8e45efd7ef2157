"""Everything a person changes here: enable and disable, run now, save a schedule, and the bulk actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import operations, overview, schedules
from ..access import Action
from ..cron import InvalidCron
from ..models import ScheduledTask
from ..operations import Conflict, Refused, schedule_token
from ..schedules import InvalidInterval
from .forms import RunForm, ScheduleForm
from .gate import needs
from .pages import TaskPages
from .per_request import facts_of
from .reply import Toast, back, from_script
from .row import TaskRow

outside_transactions = method_decorator(transaction.non_atomic_requests)


REFUSALS_TOLD = 3
"""Refusals of an action on several tasks that are told one by one."""


class TaskChanges(TaskPages):
    """The writing half of the tasks' admin: each view answers a form with fragments or a redirect."""

    changes_template = "admin/scheduled_tasks/_changes.html"

    @needs(Action.CHANGE, method="POST")
    def enabled_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Enable or disable one task: ``enabled`` is ``1`` or ``0``."""
        actor = self.actor(request)
        try:
            if request.POST.get("enabled") == "1":
                task = operations.enable(pk, actor=actor)
                text = _("%(name)s is enabled.")
            else:
                task = operations.disable(pk, actor=actor, note=request.POST.get("note"))
                text = _("%(name)s is disabled. Run now still works.")
        except Refused as refusal:
            return self.refuse(request, pk, refusal)
        return self.answer(request, pk, Toast(text % {"name": task.name}, about=pk))

    @needs(Action.CHANGE, method="POST")
    def skip_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leave out the next run on schedule (``skip`` is ``1``), or take that back (``0``)."""
        skip = request.POST.get("skip") == "1"
        try:
            task = operations.skip_next(pk, actor=self.actor(request), skip=skip)
        except Refused as refusal:
            return self.refuse(request, pk, refusal)
        text = _("%(name)s skips its next run.") if skip else _("%(name)s does not skip its next run.")
        return self.answer(request, pk, Toast(text % {"name": task.name}, about=pk))

    @needs(Action.CHANGE, method="POST")
    def default_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give the task what its code declares."""
        try:
            task = operations.reset(pk, actor=self.actor(request))
        except Refused as refusal:
            return self.refuse(request, pk, refusal)
        return self.answer(
            request, pk, Toast(_("%(name)s is as its code declares it.") % {"name": task.name})
        )

    @outside_transactions
    @needs(Action.RUN, method="POST")
    def runs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run one task now. The form's ``run`` is the new run's Celery task id: sent twice, it is one run."""
        form = RunForm.sent(request.POST)
        if form.error:
            return self.answer(request, pk, Toast(form.error, is_error=True), status=422)
        try:
            run = operations.run_now(
                pk, actor=self.actor(request), celery_id=form.key, args=form.args, kwargs=form.kwargs
            )
        except Refused as refusal:
            return self.refuse(request, pk, refusal)
        text = _("%(name)s is queued.") % {"name": run.name}
        return self.answer(request, pk, Toast(text, self.run_link(run)))

    def refuse(self, request: HttpRequest, pk: int, refusal: Refused) -> HttpResponse:
        """Say why an operation was not carried out, with a link to the run concerned."""
        return self.answer(
            request, pk, Toast(str(refusal), self.run_link(refusal.run), is_error=True), status=409
        )

    def save_schedule(self, request: HttpRequest, task: TaskRow) -> HttpResponse:
        """Save what the schedule editor sent; refused, the typed text stays in the editor."""
        seen = request.POST.getlist("seen")[-1] if "seen" in request.POST else None
        form = ScheduleForm.of(task.task, request.POST, seen=seen)
        try:
            saved = form.save(self.actor(request))
        except Conflict as conflict:
            text = conflict_text(conflict)
            return self.refuse_schedule(request, task, form.against(conflict, text), text, status=409)
        except (InvalidCron, InvalidInterval, Refused) as refusal:
            form.error = str(refusal)
            text = _("Schedule of %(name)s not saved. %(error)s It still runs as before: %(schedule)s.") % {
                "name": task.name,
                "error": form.error,
                "schedule": form.stored_label,
            }
            return self.refuse_schedule(request, task, form, text, status=422)
        text = _("%(name)s: %(schedule)s.") % {
            "name": saved.name,
            "schedule": schedules.label(saved),
        }
        return self.answer(request, task.pk, Toast(text), closes_editor=True)

    def refuse_schedule(
        self, request: HttpRequest, task: TaskRow, form: ScheduleForm, text: str, *, status: int
    ) -> HttpResponse:
        """Leave the editor as it is, and say why nothing was saved."""
        toast = Toast(text, is_error=True)
        if from_script(request):
            context = {**self.fragment_context(request), "toasts": [toast], "form": form, "task": task}
            return TemplateResponse(request, self.changes_template, context, status=status)
        return self.show_editor(request, task, form, toasts=[toast], status=status)

    def lead_to_beat(self, request: HttpRequest, task: TaskRow) -> HttpResponse:
        """Say what a solar, clocked or missing schedule is, and where it is edited."""
        url = self.beat_url(request)
        link = (f"{url}{task.pk}/change/", _("Edit in django-celery-beat")) if url else None
        text = _("%(name)s: %(schedule)s. Only django-celery-beat's own admin edits such a schedule.")
        text %= {"name": task.name, "schedule": task.label}
        return self.answer(request, task.pk, Toast(text, link, is_error=True), status=409)

    def answer(
        self, request: HttpRequest, pk: int, toast: Toast, *, closes_editor: bool = False, status: int = 200
    ) -> HttpResponse:
        """The task's row as it is now, with a message: as fragments, or on the page the form came from."""
        if not from_script(request):
            return back(request, self.list_url(), [toast])
        return self.fragments(
            request, [pk], [toast], status=status, closed_editor=str(pk) if closes_editor else ""
        )

    def answer_selected(self, request: HttpRequest) -> HttpResponse:
        """The selected tasks' rows as they are now, with the messages an action left: as fragments."""
        chosen = [int(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)[: self.list_per_page]]
        toasts = [
            Toast(str(message), is_error=message.level >= messages.WARNING)
            for message in messages.get_messages(request)
        ]
        return self.fragments(request, chosen, toasts)

    def fragments(
        self,
        request: HttpRequest,
        pks: Sequence[int],
        toasts: Sequence[Toast],
        *,
        status: int = 200,
        **more: Any,
    ) -> HttpResponse:
        """Rows of tasks as they are now, or their removal, and messages."""
        rows = [TaskRow(row) for row in overview.rows(overview.tasks().filter(pk__in=pks), facts_of(request))]
        context = {
            **self.fragment_context(request),
            "toasts": toasts,
            "rows": rows,
            "gone": [str(pk) for pk in set(pks) - {row.pk for row in rows}],
            **more,
        }
        return TemplateResponse(request, self.changes_template, context, status=status)

    @admin.action(description=gettext_lazy("Run now"), permissions=["run"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledTask]) -> None:
        """Start every selected task at once."""
        actor = self.actor(request)
        self._each(
            request,
            queryset,
            lambda pk: operations.run_now(pk, actor=actor, celery_id=str(uuid4())),
            lambda n: ngettext("%(n)s task is queued.", "%(n)s tasks are queued.", n),
        )

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledTask]) -> None:
        """Let every selected task run on schedule again."""
        actor = self.actor(request)
        self._each(
            request,
            queryset,
            lambda pk: operations.enable(pk, actor=actor),
            lambda n: ngettext("%(n)s task is enabled.", "%(n)s tasks are enabled.", n),
        )

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledTask]) -> None:
        """Stop the schedule of every selected task."""
        actor = self.actor(request)
        self._each(
            request,
            queryset,
            lambda pk: operations.disable(pk, actor=actor),
            lambda n: ngettext("%(n)s task is disabled.", "%(n)s tasks are disabled.", n),
        )

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[ScheduledTask],
        do: Callable[[int], Any],
        told: Callable[[int], str],
    ) -> None:
        """Do something to each task; one refusal stops no other, and many do not fill the screen.

        Only a broker that cannot be reached stops all: each task would wait for it anew.
        """
        pks = list(queryset.values_list("pk", flat=True))
        done, refused, unreachable = 0, [], ""
        for pk in pks:
            try:
                do(pk)
            except Refused as refusal:
                if refusal.code == "broker":
                    unreachable = str(refusal)
                    break
                refused.append(str(refusal))
            else:
                done += 1
        for text in refused[:REFUSALS_TOLD]:
            self.message_user(request, text, messages.ERROR)
        if more := len(refused[REFUSALS_TOLD:]):
            text = ngettext("%(n)s more task was refused.", "%(n)s more tasks were refused.", more)
            self.message_user(request, text % {"n": more}, messages.ERROR)
        if unreachable:
            left = len(pks) - done - len(refused)
            text = ngettext(
                "%(n)s task was not queued. %(why)s", "%(n)s tasks were not queued. %(why)s", left
            )
            self.message_user(request, text % {"n": left, "why": unreachable}, messages.ERROR)
        if done:
            self.message_user(request, told(done) % {"n": done}, messages.SUCCESS)


def conflict_text(conflict: Conflict) -> str:
    """What a conflict says, by name where Django's history knows who made the change."""
    task, schedule = conflict.task, schedule_token(conflict.task)
    entries = LogEntry.objects.filter(
        content_type=get_content_type_for_model(task),
        object_id=str(task.pk),
        change_message__contains=f"→ {schedule}",
    )
    entry = entries.select_related("user").order_by("-pk").first()
    if entry is None:
        return str(conflict)
    text = _("%(person)s changed the schedule of %(name)s meanwhile: it is now %(schedule)s.")
    return text % {"person": entry.user.get_username(), "name": task.name, "schedule": schedule}
