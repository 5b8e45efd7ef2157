"""Measurements beside goals and baselines; never part of the test run."""
