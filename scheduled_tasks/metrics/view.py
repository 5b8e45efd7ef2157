"""The address that Prometheus scrapes."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
except ImportError as error:
    raise ImproperlyConfigured(
        "scheduled_tasks.metrics needs prometheus-client: pip install celery-scheduled-tasks[metrics]."
    ) from error

from ..access import Action, allowed, grants
from ..conf import settings
from .collector import TaskCollector


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything known at this moment, for whoever has the token or may view all tasks."""
    token = settings.METRICS_TOKEN
    if token and not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    if not token and not _may_see_everything(request):
        return HttpResponse(status=403)
    registry = CollectorRegistry()
    registry.register(TaskCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    response = HttpResponse(encode(registry), content_type=content_type)
    patch_vary_headers(response, ["Accept", "Authorization"])
    return response


def _may_see_everything(request: HttpRequest) -> bool:
    found = grants(request)
    return allowed(request, Action.VIEW) if found is None else Action.VIEW in found.everything
