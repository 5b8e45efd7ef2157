"""Webhooks on their way out."""

from django.db import models


class Delivery(models.Model):
    """One event for the subscriber, tried again until it is taken or given up."""

    event = models.CharField(max_length=60)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True, db_index=True)
    gave_up_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)
    run_id = models.CharField(max_length=50, blank=True, db_index=True, help_text="Last run that tried it.")

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"
