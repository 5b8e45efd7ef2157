"""What the drawer says of a task's alerts: who is told of its troubles, and when."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..alerts.channels import channels_for
from ..conf import settings
from ..models import IncidentKind, TaskState
from ..moments import exact_span


class AlertFacts:
    """What the drawer says of a task's alerts, in one line."""

    def __init__(self, state: TaskState) -> None:
        self._state = state
        self.owner = state.owner
        self.runbook = state.runbook_url

    @property
    def when(self) -> str:
        """``"after 3 failures in a row · recovered after 2 successes in a row · when late · when slow"``."""
        state, kinds = self._state, self._state.effective_alert_on
        after = state.effective_alert_after
        found = []
        if IncidentKind.FAILING in kinds:
            text = ngettext("after the first failure", "after %(n)s failures in a row", after)
            found.append(text % {"n": after})
        recovered_after = state.effective_recover_after
        if IncidentKind.FAILING in kinds and recovered_after > 1:
            text = ngettext(
                "recovered after %(n)s success", "recovered after %(n)s successes in a row", recovered_after
            )
            found.append(text % {"n": recovered_after})
        if IncidentKind.LATE in kinds:
            found.append(_("when late"))
        if IncidentKind.SLOW in kinds:
            longest: timedelta | None = state.effective_max_runtime
            text = _("when slow, after %(time)s at the latest")
            found.append(text % {"time": exact_span(longest)} if longest else _("when slow"))
        return " · ".join(found) or _("none")

    @property
    def is_unheard(self) -> bool:
        """Whether nobody is told, since the settings name no channel."""
        return not channels_for(self.owner)

    @property
    def is_owner_unknown(self) -> bool:
        """Whether ``"default"`` is told in place of the owner."""
        return not self.is_unheard and bool(self.owner) and self.owner not in settings.ALERTS
