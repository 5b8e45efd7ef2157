"""A field for a moment: typed into a browser's field for a time, or as words beside it, which count first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from ..models import database_now
from ..moments import in_zone
from ..schedules import current_zone
from ..typed_moments import InvalidMoment, comes_twice, read_moment, twice_text

LONGEST_TEXT = 100


def field_text(at: datetime) -> str:
    """A moment as a browser's field for a time takes it, in the page's zone; seconds where it has some."""
    local = in_zone(at, current_zone())
    return local.strftime("%Y-%m-%dT%H:%M:%S" if local.second else "%Y-%m-%dT%H:%M")


def kept(stored: datetime | None, text: str) -> datetime | None:
    """The stored moment, where its text came back: the text does not tell which of two equal hours it is."""
    return stored if stored is not None and text == field_text(stored) else None


class BoundMoment(forms.BoundField):
    """What was typed into each of the two inputs, as ``_moment_fields.html`` shows them."""

    @property
    def words_name(self) -> str:
        """The name of the input for words."""
        return getattr(self.field, "words_name", "") or f"{self.html_name}_words"

    @property
    def words(self) -> str:
        """What was typed as words."""
        return str(self.form.data.get(self.words_name, ""))

    @property
    def at(self) -> str:
        """What the browser's field has."""
        shown = self.form.data.get(self.html_name) if self.form.is_bound else self.initial
        return str(self.field.prepare_value(shown) or "")

    @property
    def data(self) -> str:
        """What counts of both."""
        return self.words.strip() or self.at.strip()


class MomentText(forms.CharField):
    """The text of a moment; ``words_name`` names the input for words."""

    def __init__(self, words_name: str = "") -> None:
        super().__init__(required=False, max_length=LONGEST_TEXT)
        self.words_name = words_name
        self.stored: datetime | None = None

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> BoundMoment:
        """The field of a form, of which the form's initial moment is the stored one."""
        self.stored = form.initial.get(field_name)
        return BoundMoment(form, self, field_name)

    def prepare_value(self, value: Any) -> Any:
        """A stored moment as text."""
        return field_text(value) if isinstance(value, datetime) else value


class MomentField(MomentText):
    """A moment in the page's zone, as :func:`..typed_moments.read_moment` reads it; may be left empty."""

    def clean(self, value: Any) -> Any:
        """The moment, None for nothing. A time that comes twice is refused, unless it is the stored one."""
        typed = super().clean(value)
        if not typed:
            return None
        if stored := kept(self.stored, typed):
            return stored
        try:
            moment = read_moment(typed, database_now(), current_zone())
        except InvalidMoment as error:
            raise forms.ValidationError(str(error)) from error
        if comes_twice(moment):
            raise forms.ValidationError(f"{twice_text(moment)} {_('Choose another time.')}")
        return moment
