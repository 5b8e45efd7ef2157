"""The admin wing: the Scheduled tasks page, every run's own page, and incidents."""

from .incidents import IncidentAdmin
from .runs import TaskRunAdmin
from .tasks import ScheduledTaskAdmin

__all__ = ["IncidentAdmin", "ScheduledTaskAdmin", "TaskRunAdmin"]
