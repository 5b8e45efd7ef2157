"""Jobs over consents and their evidence."""

import time
from datetime import timedelta
from decimal import Decimal

from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from example_project.consent import certificates
from example_project.consent.audio import Unreadable, shrink
from example_project.consent.models import Certificate, Consent, LedgerEntry, Recording, Wallet
from example_project.governance.models import Tenant
from scheduled_tasks import scheduled_task, track


@scheduled_task(
    "*/5 * * * *",
    name="certificate-processing",
    description="Issues the certificates of new consents",
    kwargs={"batch": 200},
)
def process_certificates(batch: int) -> dict[str, int]:
    """Issue what waits, oldest first."""
    waiting = Certificate.objects.filter(issued_at=None).select_related("consent").order_by("pk")
    issued = 0
    for certificate in track(list(waiting[:batch]), description="Issuing"):
        certificates.issue(certificate)
        issued += 1
    return {"issued": issued, "waiting": waiting.count()}


@scheduled_task(
    "*/10 * * * *",
    name="certificate-audit",
    description="Reads stored certificates back and verifies each, slowly, to leave the storage to others",
    kwargs={"batch": 60, "pause": 0.5},
)
def audit_certificates(batch: int, pause: float) -> dict[str, object]:
    """Verify the newest ``batch`` certificates with ``pause`` seconds between two; name the damaged ones."""
    newest = Certificate.objects.exclude(issued_at=None).select_related("consent").order_by("-pk")
    damaged = []
    verified = 0
    for certificate in track(list(newest[:batch]), description="Verifying"):
        if certificates.is_intact(certificate):
            verified += 1
        else:
            damaged.append(certificate.pk)
        time.sleep(pause)
    return {"verified": verified, "damaged": damaged}


@scheduled_task(
    "* * * * *",
    name="recording-conversion",
    description="Makes queued recordings small until the queue is empty",
    kwargs={"seconds": 45},
)
def convert_recordings(seconds: float) -> dict[str, int]:
    """Drain the queue, for at most so many seconds; the next run goes on."""
    deadline = time.monotonic() + seconds
    queue = Recording.objects.filter(status=Recording.Status.QUEUED).order_by("pk")
    converted = unreadable = saved = 0
    while time.monotonic() < deadline and (recording := queue.first()):
        try:
            saved += convert(recording)
            converted += 1
        except (Unreadable, OSError) as failure:
            recording.status, recording.note = Recording.Status.UNREADABLE, str(failure)[:200]
            recording.save()
            unreadable += 1
    return {"converted": converted, "unreadable": unreadable, "bytes_saved": saved, "queued": queue.count()}


def convert(recording: Recording) -> int:
    """Replace the recording's file by a small one; how many bytes that saves.

    Raises:
        Unreadable, OSError: there is no recording in the file, or no file.
    """
    original = recording.file.name or ""
    with recording.file.open("rb") as source:
        small, size = shrink(source), source.size
    recording.file.save(f"{recording.pk}-small.wav", ContentFile(small), save=False)
    recording.status = Recording.Status.CONVERTED
    recording.save()
    recording.file.storage.delete(original)
    return size - len(small)


@scheduled_task(
    "30 2 * * *",
    name="retention-enforcement",
    description="Erases withdrawn consents and their files when their time of retention is over",
)
def enforce_retention() -> dict[str, int]:
    """Erase, tenant by tenant, what was withdrawn longer ago than the tenant keeps it."""
    erased = files = 0
    for tenant in Tenant.objects.order_by("pk"):
        limit = timezone.now() - timedelta(days=tenant.retention_days)
        for consent in Consent.objects.filter(tenant=tenant, withdrawn_at__lt=limit).order_by("pk"):
            files += erase(consent)
            erased += 1
    return {"consents_erased": erased, "files_deleted": files, "consents_kept": Consent.objects.count()}


def erase(consent: Consent) -> int:
    """Delete a consent with its certificate and recordings; how many files went with it.

    Rows first: files whose rows are gone are garbage, rows whose files are gone are broken.
    """
    files = [
        certificate.file for certificate in Certificate.objects.filter(consent=consent) if certificate.file
    ]
    files += [recording.file for recording in Recording.objects.filter(consent=consent)]
    consent.delete()
    for file in files:
        file.delete(save=False)
    return len(files)


@scheduled_task(
    "0 * * * *",
    name="wallet-reconciliation",
    description="Compares every wallet's balance with its ledger and corrects what drifted",
)
def reconcile_wallets() -> dict[str, object]:
    """The ledger is right; how many wallets were not, and by how much in all."""
    drifts = [reconcile(pk) for pk in track(list(Wallet.objects.values_list("pk", flat=True)))]
    return {
        "wallets": len(drifts),
        "corrected": sum(drift != 0 for drift in drifts),
        "drift": str(sum((abs(drift) for drift in drifts), Decimal("0.00"))),
    }


def reconcile(pk: int) -> Decimal:
    """Set one wallet's balance to the sum of its ledger; by how much that changed it."""
    with transaction.atomic():
        wallet = Wallet.objects.select_for_update().get(pk=pk)
        booked = LedgerEntry.objects.filter(wallet=wallet).aggregate(sum=Sum("amount"))["sum"] or 0
        truth = Decimal(booked).quantize(Decimal("0.01"))
        drift = truth - wallet.balance
        wallet.balance, wallet.reconciled_at = truth, timezone.now()
        wallet.save()
    return drift
