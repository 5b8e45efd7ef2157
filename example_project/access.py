"""Who may use the Scheduled tasks page of this site: the callable named by ``ACCESS_POLICY``."""

from django.conf import settings
from django.http import HttpRequest


def administers_jobs(request: HttpRequest, action: str) -> bool:
    """Whether this person may see, change and run scheduled tasks.

    Platform administrators (superusers) may. In a single-tenant installation the tenant's global
    administrators may too: nobody else's jobs run there. ``action`` is ``"view"``, ``"change"``,
    ``"run"``, ``"add"`` or ``"delete"``; this site gives all of them or none.
    """
    user = request.user
    if not (user.is_active and user.is_staff):
        return False
    if user.is_superuser:
        return True
    membership = getattr(user, "membership", None)
    return settings.SINGLE_TENANT and membership is not None and membership.is_global_admin
