"""What the templates need that Django has no tag for."""

from __future__ import annotations

from django import template
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.filter
def naming(text: str, name: str) -> SafeString:
    """A translated text with ``%s``, which stands for a name."""
    return mark_safe(text.replace("%s", conditional_escape(name)))  # noqa: S308 - texts of translations
