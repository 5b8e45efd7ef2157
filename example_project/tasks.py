"""The job that gives the others something to do."""

from example_project.sample_data import add_activity, main_tenant
from scheduled_tasks import scheduled_task


@scheduled_task(
    "* * * * *",
    name="simulate-activity",
    description="Brings new sample rows, so that the other jobs have work",
)
def simulate_activity() -> dict[str, int]:
    """One minute of the site's life."""
    return add_activity(main_tenant())
