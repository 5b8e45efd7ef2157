"""Metrics for Prometheus, read from the tables: they are right whichever process is asked."""
