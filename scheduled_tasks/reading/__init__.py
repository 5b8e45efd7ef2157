"""The read model: tasks with flags and runs, the machinery's health, the list's version, planned runs."""
