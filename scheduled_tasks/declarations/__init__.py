"""What code declares: the decorator, the registry, and the sync with the stored tasks."""
