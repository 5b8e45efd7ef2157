"""Where a task comes from, and the code that declares one which was made here."""

from __future__ import annotations

from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from .. import schedules
from ..declarations.fields import FIELDS, values_of
from ..importers.pasted_code import UNDECLARED, Undeclarable, decorator
from ..masking import NestedTooDeeply
from ..models import ScheduledTask, Source, word_of
from ..validation import Invalid


class TaskOrigin:
    """What the drawer says about where a task comes from."""

    def __init__(self, task: ScheduledTask) -> None:
        self._task = task
        self._default = task.code_default

    @property
    def text(self) -> str:
        """In code, no longer in code, or made here."""
        if self._default is None:
            return _("Made here")
        source = {"source": word_of(Source, self._default.source)}
        return (
            _("In code: %(source)s") if self._task.is_in_code else _("No longer in code: %(source)s")
        ) % source

    @property
    def is_made_here(self) -> bool:
        """Whether no code declares it."""
        return not self._task.is_in_code

    @cached_property
    def _written(self) -> tuple[str, str]:
        """The code that declares it, or why there is none."""
        task = self._task
        lost = [
            str(FIELDS[name].label) for name in UNDECLARED if FIELDS[name].read(task) != FIELDS[name].blank
        ]
        if task.one_off:
            lost.append(str(task._meta.get_field("one_off").verbose_name))
        if lost:
            fields = ", ".join(lost)
            return "", _("@scheduled_task cannot declare this of it: %(fields)s.") % {"fields": fields}
        try:
            return decorator(task.name, task.task, values_of(task)), ""
        except (Undeclarable, schedules.Unschedulable) as error:
            return "", _("@scheduled_task cannot declare this task: %(error)s") % {"error": error}
        except NestedTooDeeply:
            return "", _("Its arguments are nested too deeply to be written as code.")
        except Invalid:
            return "", self._why_no_cron

    @property
    def _why_no_cron(self) -> str:
        text = _(
            "@scheduled_task takes cron expressions, and none says “%(schedule)s”. "
            "Keep the task here, or give it a cron expression first."
        )
        return text % {"schedule": schedules.label(self._task)}

    @property
    def code(self) -> str:
        """The lines to paste; empty where it cannot be declared."""
        return self._written[0]

    @property
    def why_no_code(self) -> str:
        """Why there are none."""
        return self._written[1]
