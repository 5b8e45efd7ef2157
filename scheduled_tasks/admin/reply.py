"""How a change answers: fragments for the script, a message and a redirect for a plain form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django_htmx.middleware import HtmxDetails


@dataclass(frozen=True)
class Toast:
    """One message at the bottom of the screen; ``link`` is ``(address, text)``."""

    text: str
    link: tuple[str, str] | None = None
    is_error: bool = False
    about: int | None = None
    """The task whose state it tells: it takes the place of an earlier one about it."""

    @property
    def html(self) -> SafeString:
        """The text, escaped, with its link."""
        if self.link is None:
            return format_html("{}", self.text)
        return format_html('{} <a class="st-link" href="{}">{}</a>', self.text, *self.link)


def from_script(request: HttpRequest) -> bool:
    """Whether the page's script asks, and wants fragments."""
    return bool(HtmxDetails(request))


def back(request: HttpRequest, fallback: str, toasts: Sequence[Toast]) -> HttpResponse:
    """Lead a plain form back to the page it was on, with its messages. Only to this site."""
    for toast in toasts:
        messages.add_message(request, messages.ERROR if toast.is_error else messages.SUCCESS, toast.html)
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return HttpResponseRedirect(target if safe else fallback, status=303)
