"""Consents people gave, the evidence kept for them, and the wallets that pay for the service."""

from django.db import models

from example_project.governance.models import Tenant


class Consent(models.Model):
    """What a data subject agreed to, and whether they took it back."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    subject = models.CharField(max_length=60, help_text="A pseudonym, never a name.")
    purpose = models.CharField(max_length=100)
    given_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.subject}: {self.purpose}"


class Certificate(models.Model):
    """Proof of a consent: its digest, this site's attestation, and the file that holds both."""

    consent = models.OneToOneField(Consent, models.CASCADE)
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the consent, hexadecimal.")
    attestation = models.CharField(max_length=100, blank=True)
    file = models.FileField(upload_to="certificates", blank=True)
    issued_at = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"Certificate of {self.consent}"


class Recording(models.Model):
    """A spoken consent: an audio file that waits to be made small."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        CONVERTED = "converted", "Converted"
        UNREADABLE = "unreadable", "Unreadable"

    consent = models.ForeignKey(Consent, models.CASCADE)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED, db_index=True)
    file = models.FileField(upload_to="recordings")
    note = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"Recording of {self.consent}"


class Wallet(models.Model):
    """A tenant's credit. ``balance`` is kept beside the ledger for speed, so the two can drift apart."""

    tenant = models.OneToOneField(Tenant, models.CASCADE)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    reconciled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Wallet of {self.tenant}"


class LedgerEntry(models.Model):
    """One movement of a wallet; the sum of all is its true balance."""

    wallet = models.ForeignKey(Wallet, models.CASCADE)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    booked_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.amount} at {self.booked_at}"
