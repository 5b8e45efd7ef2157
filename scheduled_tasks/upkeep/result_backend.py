"""What Celery's result backend knows of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..recording import endings, statements
from ..recording.header import moment


def told_by_backend(app: Any, celery_id: str) -> statements.Ending | None:
    """How the task ended according to Celery's result backend; None when that does not know.

    Raises whatever the backend does when it cannot be reached.
    """
    backend = app.backend
    # A backend that keeps no results cannot be asked; asking rpc:// would declare a queue.
    if backend.as_uri().startswith(("disabled", "rpc")):
        return None
    meta = backend.get_task_meta(celery_id, cache=False)
    return endings.of_result(meta, at=_when_done(meta))


def _when_done(meta: Mapping[str, Any]) -> float:
    done = moment(meta.get("date_done"))
    age = 0.0 if done is None else (datetime.now(UTC) - done).total_seconds()
    return time.monotonic() - max(0.0, age)
