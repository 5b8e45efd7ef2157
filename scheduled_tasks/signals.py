"""Signals for a project's own receivers; docs/signals.md tells with which arguments and by which process.

They are sent with ``send_robust()``: what a receiver raises is logged by Django and harms nothing.
"""

from __future__ import annotations

from django.dispatch import Signal

run_ended = Signal()
"""A run has ended, and the row says so.

``sender`` is :class:`.models.TaskRun`. ``run_id`` (int) is the row's id, ``celery_id`` (str or None) Celery's
task id, ``task_id`` (int or None) the scheduled task's, ``name`` (str) its name, ``status`` (str) a value of
:class:`.models.Status`, ``reason`` (str) a code of :class:`.reasons.Code` or empty, ``duration`` a timedelta,
or None for a run that never started.
"""

incident_opened = Signal()
"""A trouble was seen. ``sender`` is :class:`.models.Incident`, ``incident`` the row."""

incident_closed = Signal()
"""A trouble is over. ``sender`` is :class:`.models.Incident`, ``incident`` the row."""
