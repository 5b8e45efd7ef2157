"""Rows for the jobs to work on: the first ones, and a trickle that keeps the site alive."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from math import sin, tau

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.db.models import F
from django.utils import timezone

from example_project.consent import certificates
from example_project.consent.audio import wav
from example_project.consent.models import Certificate, Consent, LedgerEntry, Recording, Wallet
from example_project.governance.models import Conversation, Document, Membership, Message, Tenant
from example_project.webhooks.models import Delivery

PEOPLE = {
    "admin": "sees and manages everything: a platform administrator",
    "tenant-admin": "manages the scheduled tasks while the installation has a single tenant",
    "staff": "may log in to the admin, but not see scheduled tasks",
}
"""User names of the demonstration, each its own password, and what they may do."""

PURPOSES = ["Newsletter", "Video call recording", "Medical research", "Photographs", "Location sharing"]
WORDS = (
    "access approval archive audit backup change classification consent continuity contract control data "
    "disposal encryption evidence incident inventory key logging owner password policy portfolio privacy "
    "recovery retention review risk role supplier training vendor"
)
MOST_DOCUMENTS = 200
RATE = 44_100


def main_tenant() -> Tenant:
    """The tenant all sample rows belong to."""
    return Tenant.objects.get_or_create(name="Main organisation")[0]


def ensure_people() -> None:
    """Create the demonstration's users; nobody who exists is touched."""
    tenant = main_tenant()
    for name in PEOPLE:
        user, created = get_user_model().objects.get_or_create(
            username=name,
            defaults={"email": f"{name}@example.com", "is_staff": True, "is_superuser": name == "admin"},
        )
        if not created:
            continue
        user.set_password(name)
        user.save()
        Membership.objects.create(user=user, tenant=tenant, is_global_admin=name == "tenant-admin")


def ensure_history() -> None:
    """Fill an empty site with a past, so that every job finds work the first time it runs."""
    if Consent.objects.exists():
        return
    tenant = main_tenant()
    add_conversations(tenant, ages=range(0, 200, 4))
    for _ in range(40):
        add_document(tenant)
    consents = [add_consent(tenant, age=age) for age in range(60)]
    for consent in consents:
        certificates.issue(consent.certificate)
    for age in range(400, 410):
        certificates.issue(add_consent(tenant, age=age, withdrawn=True).certificate)
    for consent in consents[:3]:
        add_recording(consent)
    add_deliveries(consents[:3])
    add_ledger_entries(tenant, count=50)


def add_activity(tenant: Tenant) -> dict[str, int]:
    """A minute of the site's life: what people and other systems would have brought; how much of each."""
    consents = [add_consent(tenant, age=0), add_consent(tenant, age=0)]
    if random.random() < 0.3:
        consents.append(add_consent(tenant, age=400, withdrawn=True))
    add_recording(consents[0], broken=random.random() < 0.1)
    add_deliveries(consents)
    return {
        "conversations": add_conversations(tenant, ages=[0, random.randint(0, 180)]),
        "documents_changed": change_documents(tenant, count=2),
        "consents": len(consents),
        "recordings": 1,
        "webhooks": len(consents),
        "ledger_entries": add_ledger_entries(tenant, count=3),
    }


def add_conversations(tenant: Tenant, *, ages: Iterable[int]) -> int:
    """One conversation of two messages per age, in days; how many."""
    now = timezone.now()
    conversations = [
        Conversation.objects.create(
            tenant=tenant, title=phrase(4).capitalize(), last_activity_at=now - timedelta(days=age)
        )
        for age in ages
    ]
    Message.objects.bulk_create(
        Message(conversation=conversation, text=phrase(12))
        for conversation in conversations
        for _ in range(2)
    )
    return len(conversations)


def change_documents(tenant: Tenant, *, count: int) -> int:
    """Rewrite documents picked at random; write new ones while there are few, archive now and then."""
    for _ in range(count):
        document = Document.objects.filter(tenant=tenant, archived=False).order_by("?").first()
        if document is None or Document.objects.count() < MOST_DOCUMENTS:
            add_document(tenant)
            continue
        document.body, document.changed_at = phrase(60), timezone.now()
        document.archived = random.random() < 0.02
        document.save()
    return count


def add_document(tenant: Tenant) -> None:
    """A policy document that is not indexed yet."""
    Document.objects.create(
        tenant=tenant, title=phrase(3).capitalize(), body=phrase(60), changed_at=timezone.now()
    )


def add_consent(tenant: Tenant, *, age: int, withdrawn: bool = False) -> Consent:
    """A consent given ``age`` days ago whose certificate waits to be issued."""
    given_at = timezone.now() - timedelta(days=age)
    consent = Consent.objects.create(
        tenant=tenant,
        subject=f"subject-{random.randrange(10**6):06}",
        purpose=random.choice(PURPOSES),
        given_at=given_at,
        withdrawn_at=given_at if withdrawn else None,
    )
    Certificate.objects.create(consent=consent)
    return consent


def add_recording(consent: Consent, *, broken: bool = False) -> Recording:
    """A second of sound that waits to be converted; cut in half when broken."""
    sound = wav(tone(random.choice([220, 330, 440])), rate=RATE, channels=2)
    content = ContentFile(sound[: len(sound) // 2] if broken else sound)
    recording = Recording(consent=consent)
    recording.file.save(f"consent-{consent.pk}.wav", content)
    return recording


def tone(frequency: int) -> array[int]:
    """One second of a stereo sine wave in 16-bit samples; the right channel is half as loud."""
    wave = [int(12_000 * sin(tau * frequency * frame / RATE)) for frame in range(RATE)]
    return array("h", (sample for level in wave for sample in (level, level // 2)))


def add_deliveries(consents: Iterable[Consent]) -> None:
    """A webhook per consent, waiting to be sent."""
    Delivery.objects.bulk_create(
        Delivery(
            event="consent.given",
            payload={"consent": consent.pk, "purpose": consent.purpose},
            created_at=timezone.now(),
        )
        for consent in consents
    )


def add_ledger_entries(tenant: Tenant, *, count: int) -> int:
    """Movements of the tenant's wallet; one in ten forgets to change the balance. How many."""
    wallet, _ = Wallet.objects.get_or_create(tenant=tenant)
    for _ in range(count):
        amount = Decimal(random.randint(-500, 700)) / 100
        LedgerEntry.objects.create(wallet=wallet, amount=amount, booked_at=timezone.now())
        if random.random() > 0.1:
            Wallet.objects.filter(pk=wallet.pk).update(balance=F("balance") + amount)
    return count


def phrase(words: int) -> str:
    """Words of the trade in a random order."""
    return " ".join(random.choices(WORDS.split(), k=words))
