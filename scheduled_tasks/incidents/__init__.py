"""Troubles that last: who has one, since when, and who is to be told of it."""
