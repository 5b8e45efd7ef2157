"""Telling people of incidents: the message, the channels it goes through, and the sender that retries."""
