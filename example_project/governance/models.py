"""What an organisation governs here: its people, documents, conversations and exchange rates."""

from django.conf import settings
from django.db import models


class Tenant(models.Model):
    """An organisation on this site. A single-tenant installation has one."""

    name = models.CharField(max_length=100, unique=True)
    retention_days = models.PositiveIntegerField(default=365, help_text="Days a withdrawn consent is kept.")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's place in a tenant; global administrators administer the whole tenant."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    is_global_admin = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"


class Conversation(models.Model):
    """A conversation with the assistant; it goes stale when nobody writes for long."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    title = models.CharField(max_length=200)
    last_activity_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    """One message of a conversation."""

    conversation = models.ForeignKey(Conversation, models.CASCADE)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:50]


class Document(models.Model):
    """A policy document that can be searched."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    title = models.CharField(max_length=200)
    body = models.TextField()
    changed_at = models.DateTimeField()
    indexed_at = models.DateTimeField(null=True, editable=False)
    archived = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.title


class SearchTerm(models.Model):
    """How often a word occurs in a document: one entry of the search index."""

    document = models.ForeignKey(Document, models.CASCADE)
    term = models.CharField(max_length=60, db_index=True)
    occurrences = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["document", "term"], name="one_entry_per_term")]

    def __str__(self) -> str:
        return self.term


class ExchangeRate(models.Model):
    """How much of a currency one euro buys."""

    currency = models.CharField(max_length=3, unique=True)
    rate = models.DecimalField(max_digits=14, decimal_places=6)
    synced_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"1 EUR = {self.rate} {self.currency}"
