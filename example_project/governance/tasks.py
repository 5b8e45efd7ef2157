"""Jobs over conversations, documents and exchange rates."""

import json
import re
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from example_project.governance.models import Conversation, Document, ExchangeRate, SearchTerm, Tenant
from scheduled_tasks import scheduled_task, track

open_url = build_opener(ProxyHandler({})).open


SAMPLE_RATES = {"USD": "1.1615", "GBP": "0.8764", "CHF": "0.9327", "JPY": "181.32"}


class RatesUnavailable(Exception):
    """The source of exchange rates gave none."""


@scheduled_task(
    "0 3 * * *",
    name="purge-stale-conversations",
    description="Deletes conversations nobody wrote in for 90 days",
    kwargs={"days": 90},
)
def purge_stale_conversations(days: int) -> dict[str, int]:
    """Delete conversations with their messages, a hundred at a time."""
    stale = Conversation.objects.filter(last_activity_at__lt=timezone.now() - timedelta(days=days))
    deleted: Counter[str] = Counter()
    while batch := list(stale.values_list("pk", flat=True)[:100]):
        deleted.update(Conversation.objects.filter(pk__in=batch).delete()[1])
    return {
        "conversations": deleted["governance.Conversation"],
        "messages": deleted["governance.Message"],
        "kept": Conversation.objects.count(),
    }


@scheduled_task(
    "*/5 * * * *",
    name="search-index-sync",
    description="Brings the search index up to date with the documents",
)
def sync_search_index() -> dict[str, int]:
    """Index what changed since it was indexed, and forget what was archived."""
    forgotten, _ = SearchTerm.objects.filter(document__archived=True).delete()
    changed = Document.objects.filter(Q(indexed_at=None) | Q(indexed_at__lt=F("changed_at")), archived=False)
    terms = [index_document(document) for document in track(list(changed), description="Indexing")]
    return {"documents": len(terms), "terms": sum(terms), "terms_removed": forgotten}


def index_document(document: Document) -> int:
    """Replace the document's entries in the search index; how many it has now."""
    words = re.findall(r"\w{3,60}", f"{document.title} {document.body}".lower())
    terms = [
        SearchTerm(document=document, term=term, occurrences=count) for term, count in Counter(words).items()
    ]
    with transaction.atomic():
        SearchTerm.objects.filter(document=document).delete()
        SearchTerm.objects.bulk_create(terms)
        # Not now(): the document may have changed again since it was read.
        Document.objects.filter(pk=document.pk).update(indexed_at=document.changed_at)
    return len(terms)


@scheduled_task(
    "0 4 * * 0",
    name="weekly-summary-email",
    description="Sends each tenant's global administrators the week in numbers",
)
def send_weekly_summary() -> dict[str, int]:
    """One e-mail per tenant that has somebody to read it."""
    since = timezone.now() - timedelta(days=7)
    sent = recipients = 0
    for tenant in Tenant.objects.order_by("pk"):
        addresses = global_admin_addresses(tenant)
        if not addresses:
            continue
        send_mail(f"{tenant}: the week in numbers", week_in_numbers(tenant, since), None, addresses)
        sent += 1
        recipients += len(addresses)
    return {"emails": sent, "recipients": recipients}


def global_admin_addresses(tenant: Tenant) -> list[str]:
    """E-mail addresses of the tenant's global administrators."""
    admins = tenant.membership_set.filter(is_global_admin=True, user__is_active=True).exclude(user__email="")
    return list(admins.order_by("pk").values_list("user__email", flat=True))


def week_in_numbers(tenant: Tenant, since: datetime) -> str:
    """The text of the weekly e-mail."""
    conversations = tenant.conversation_set.filter(last_activity_at__gte=since).count()
    documents = tenant.document_set.filter(changed_at__gte=since, archived=False).count()
    consents = tenant.consent_set.filter(given_at__gte=since).count()
    return (
        f"Conversations with activity: {conversations}\n"
        f"Documents written or changed: {documents}\n"
        f"Consents given: {consents}\n"
    )


@scheduled_task(
    "*/5 * * * *", name="exchange-rate-sync", description="Fetches today's exchange rates of the euro"
)
def sync_exchange_rates() -> dict[str, int]:
    """Store the rates of the source: a JSON object such as ``{"USD": "1.08"}``.

    Raises:
        RatesUnavailable: the source does not answer, or what it answers are not rates.
    """
    rates = fetch_rates(settings.EXCHANGE_RATES_URL)
    for currency, rate in rates.items():
        ExchangeRate.objects.update_or_create(
            currency=currency, defaults={"rate": rate, "synced_at": timezone.now()}
        )
    return {"rates": len(rates)}


@scheduled_task(
    "0 0 1 1 *",
    name="rates-source-repair",
    description="Makes the source of exchange-rate-sync reachable: run it by hand",
    enabled=False,
)
def repair_rates_source() -> dict[str, str]:
    """Write the file that the exchange rates of this demonstration come from."""
    source = settings.EXCHANGE_RATES_FILE
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(json.dumps(SAMPLE_RATES))
    return {"written": str(source)}


def fetch_rates(url: str) -> dict[str, Decimal]:
    """Rates per currency code from ``url``; raises RatesUnavailable."""
    try:
        with open_url(url, timeout=10) as response:
            return {str(code): Decimal(str(rate)) for code, rate in json.load(response).items()}
    except OSError as failure:
        reason = getattr(failure, "reason", failure)
        raise RatesUnavailable(f"The exchange rates at {url} cannot be fetched: {reason}") from failure
    except (ValueError, AttributeError, InvalidOperation) as failure:
        raise RatesUnavailable(f"What {url} answers are not exchange rates: {failure}") from failure
