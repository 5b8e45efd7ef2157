"""The admin wing: the Scheduled tasks page, every run's own page, incidents and maintenance."""

from .incidents import IncidentAdmin
from .maintenance import MaintenanceAdmin
from .runs import TaskRunAdmin
from .tasks import ScheduledTaskAdmin

__all__ = ["IncidentAdmin", "MaintenanceAdmin", "ScheduledTaskAdmin", "TaskRunAdmin"]
