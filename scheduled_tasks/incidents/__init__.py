"""Troubles that last: who has one, since when, who is to be told of it, and why nobody was."""
