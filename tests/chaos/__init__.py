"""Whatever breaks, tasks run on, and in the end every run tells the truth."""
