"""Which of the supported versions the tests run on, where what they tell depends on it."""

from __future__ import annotations

import celery

CELERY_57 = celery.VERSION >= (5, 7)
"""Since 5.7 a worker tells of a task that raised SystemExit, and calls none lost whose process died after its
success was stored. It sends a task again whose process died (``retry_on_worker_lost``). Where a task replaces
itself with a chain that ends in a group, it lets a task follow."""
