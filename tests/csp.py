"""A host with a strict Content-Security-Policy, as every test of the browser has it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
TRUSTED_TYPES = "; require-trusted-types-for 'script'"
"""Added for this app's own pages: the jQuery of Django's other admin pages does not start under it."""


def strict(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: nothing but the site's own files is loaded or run, and no text becomes markup."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        own = TRUSTED_TYPES if "/scheduled_tasks/" in request.path else ""
        response.headers.setdefault("Content-Security-Policy", POLICY + own)
        return response

    return answer
