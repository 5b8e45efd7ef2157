"""The admin wing: the Scheduled tasks page, and every run's own page."""

from .runs import TaskRunAdmin
from .tasks import ScheduledTaskAdmin

__all__ = ["ScheduledTaskAdmin", "TaskRunAdmin"]
