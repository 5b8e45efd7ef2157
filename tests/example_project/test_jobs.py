"""Every job of the example site does its work on real rows and files, and tells the truth about it."""

from __future__ import annotations

import json
import threading
import wave
from datetime import timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.utils import timezone

from example_project import broker, sample_data
from example_project.consent import certificates
from example_project.consent.models import Certificate, Consent, LedgerEntry, Recording, Wallet
from example_project.consent.tasks import (
    audit_certificates,
    convert_recordings,
    enforce_retention,
    process_certificates,
    reconcile_wallets,
)
from example_project.governance.models import (
    Conversation,
    Document,
    ExchangeRate,
    Message,
    SearchTerm,
    Tenant,
)
from example_project.governance.tasks import (
    RatesUnavailable,
    purge_stale_conversations,
    repair_rates_source,
    send_weekly_summary,
    sync_exchange_rates,
    sync_search_index,
)
from example_project.tasks import simulate_activity
from example_project.webhooks.models import Delivery
from example_project.webhooks.tasks import GIVE_UP_AFTER, Refused, retry_webhook_deliveries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(settings, tmp_path: Path) -> Path:
    """Where the jobs of this test store files."""
    settings.MEDIA_ROOT = tmp_path / "files"
    return settings.MEDIA_ROOT


@pytest.fixture
def tenant() -> Tenant:
    return sample_data.main_tenant()


def stored(files: Path) -> list[str]:
    return sorted(path.name for path in files.rglob("*") if path.is_file())


def test_purge_deletes_conversations_gone_silent_and_keeps_the_others(tenant):
    sample_data.add_conversations(tenant, ages=[0, 89, *([91] * 120)])
    assert purge_stale_conversations(days=90) == {"conversations": 120, "messages": 240, "kept": 2}
    assert Message.objects.count() == 4
    limit = timezone.now() - timedelta(days=90)
    assert all(conversation.last_activity_at > limit for conversation in Conversation.objects.all())


def test_certificates_are_issued_oldest_first_and_can_be_checked(tenant, files):
    consents = [sample_data.add_consent(tenant, age=age) for age in range(3)]
    assert process_certificates(batch=2) == {"issued": 2, "waiting": 1}
    certificate = Certificate.objects.get(consent=consents[0])
    content = json.loads(Path(certificate.file.path).read_text())
    assert content["digest"] == certificates.digest(consents[0]) == certificate.digest
    assert content["attestation"] == certificate.attestation
    assert certificates.is_intact(certificate)
    assert Certificate.objects.get(issued_at=None).consent == consents[2]
    assert len(stored(files)) == 2


def test_the_audit_names_certificates_whose_file_was_changed_forged_or_lost(tenant):
    issued = [sample_data.add_consent(tenant, age=0).certificate for _ in range(4)]
    for certificate in issued:
        certificates.issue(certificate)
    whole, changed, forged, lost = issued
    rewrite(changed, digest="0" * 64)
    rewrite(forged, attestation="mine")
    Path(lost.file.path).unlink()
    assert audit_certificates(batch=10, pause=0) == {
        "verified": 1,
        "damaged": [lost.pk, forged.pk, changed.pk],
    }
    assert audit_certificates(batch=1, pause=0) == {"verified": 0, "damaged": [lost.pk]}
    assert certificates.is_intact(whole)


def rewrite(certificate: Certificate, **changes: str) -> None:
    path = Path(certificate.file.path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_recordings_become_small_and_unreadable_ones_leave_the_queue_with_a_note(tenant, files):
    consent = sample_data.add_consent(tenant, age=0)
    good = sample_data.add_recording(consent)
    cut = sample_data.add_recording(consent, broken=True)
    noise = Recording(consent=consent)
    noise.file.save("noise.wav", ContentFile(b"not sound"))
    gone = sample_data.add_recording(consent)
    gone.file.storage.delete(gone.file.name)
    before = good.file.size

    summary = convert_recordings(seconds=30)

    for recording in (good, cut, noise, gone):
        recording.refresh_from_db()
    assert summary == {
        "converted": 1,
        "unreadable": 3,
        "bytes_saved": before - good.file.size,
        "queued": 0,
    }
    assert good.file.size < before / 7
    with wave.open(good.file.path) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (1, 11_025, 11_025)
        assert any(sound.readframes(100))
    assert "ends after" in cut.note
    assert "not a WAV file" in noise.note
    assert "No such file" in gone.note
    assert len(stored(files)) == 3
    assert convert_recordings(seconds=30)["converted"] == 0


def test_conversion_stops_in_time_and_leaves_the_rest_queued(tenant):
    sample_data.add_recording(sample_data.add_consent(tenant, age=0))
    assert convert_recordings(seconds=0) == {"converted": 0, "unreadable": 0, "bytes_saved": 0, "queued": 1}


def test_retention_erases_withdrawn_consents_with_their_files_when_their_time_is_over(tenant, files):
    old = sample_data.add_consent(tenant, age=400, withdrawn=True)
    recent = sample_data.add_consent(tenant, age=300, withdrawn=True)
    valid = sample_data.add_consent(tenant, age=400)
    for consent in (old, recent, valid):
        certificates.issue(consent.certificate)
        sample_data.add_recording(consent)
    unprocessed = sample_data.add_consent(tenant, age=500, withdrawn=True)

    assert enforce_retention() == {"consents_erased": 2, "files_deleted": 2, "consents_kept": 2}

    assert set(Consent.objects.all()) == {recent, valid}
    assert not Certificate.objects.filter(consent_id__in=[old.pk, unprocessed.pk]).exists()
    assert len(stored(files)) == 4


def test_reconciliation_sets_wallets_to_their_ledger(tenant):
    right = Wallet.objects.create(tenant=tenant, balance=Decimal("0.30"))
    wrong = Wallet.objects.create(tenant=Tenant.objects.create(name="Other"), balance=Decimal("7.00"))
    empty = Wallet.objects.create(tenant=Tenant.objects.create(name="Third"))
    for wallet in (right, wrong):
        for amount in ("0.10", "0.20"):
            LedgerEntry.objects.create(wallet=wallet, amount=Decimal(amount), booked_at=timezone.now())
    assert reconcile_wallets() == {"wallets": 3, "corrected": 1, "drift": "6.70"}
    for wallet, balance in ((right, "0.30"), (wrong, "0.30"), (empty, "0.00")):
        wallet.refresh_from_db()
        assert wallet.balance == Decimal(balance)
        assert wallet.reconciled_at
    assert reconcile_wallets() == {"wallets": 3, "corrected": 0, "drift": "0.00"}


def document(tenant: Tenant, title: str, body: str) -> Document:
    return Document.objects.create(tenant=tenant, title=title, body=body, changed_at=timezone.now())


def test_the_search_index_follows_the_documents(tenant):
    policy = document(tenant, "Key policy", "Keys are kept. Keys are rotated.")
    archived = document(tenant, "Old", "forgotten")
    assert sync_search_index() == {"documents": 2, "terms": 8, "terms_removed": 0}
    assert SearchTerm.objects.get(document=policy, term="keys").occurrences == 2
    assert sync_search_index() == {"documents": 0, "terms": 0, "terms_removed": 0}

    policy.body, policy.changed_at = "Nothing", timezone.now()
    policy.save()
    Document.objects.filter(pk=archived.pk).update(archived=True)
    assert sync_search_index() == {"documents": 1, "terms": 3, "terms_removed": 2}
    terms = SearchTerm.objects.values_list("term", flat=True)
    assert sorted(terms) == ["key", "nothing", "policy"]


def test_the_weekly_summary_goes_to_global_administrators_as_a_file(tenant, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    sample_data.ensure_people()
    Tenant.objects.create(name="Nobody reads here")
    sample_data.add_conversations(tenant, ages=[1, 6, 8])
    sample_data.add_document(tenant)
    for age in (0, 5, 9, 30):
        sample_data.add_consent(tenant, age=age)
    assert send_weekly_summary() == {"emails": 1, "recipients": 1}
    (file,) = (tmp_path / "mail").iterdir()
    mail = message_from_bytes(file.read_bytes().split(b"\n---")[0], policy=policy.default)
    assert mail["To"] == "tenant-admin@example.com"
    assert "the week in numbers" in mail["Subject"]
    assert mail.get_content().splitlines()[:3] == [
        "Conversations with activity: 2",
        "Documents written or changed: 1",
        "Consents given: 2",
    ]


class Rates(BaseHTTPRequestHandler):
    """Answers with what ``body`` says."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        """Nothing: the test's output stays readable."""


@pytest.fixture
def rates(settings, monkeypatch):
    """Call it to say what the source of exchange rates answers."""
    server = HTTPServer(("127.0.0.1", 0), Rates)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.EXCHANGE_RATES_URL = f"http://127.0.0.1:{server.server_port}/rates.json"
    yield lambda body: monkeypatch.setattr(Rates, "body", body)
    server.shutdown()
    server.server_close()


def test_exchange_rates_are_stored_and_replaced(rates):
    rates(b'{"USD": "1.08", "CHF": 0.95}')
    assert sync_exchange_rates() == {"rates": 2}
    rates(b'{"USD": "1.10"}')
    assert sync_exchange_rates() == {"rates": 1}
    assert dict(ExchangeRate.objects.values_list("currency", "rate")) == {
        "USD": Decimal("1.10"),
        "CHF": Decimal("0.95"),
    }


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b'{"USD": "many"}', b'{"USD": null}'])
def test_an_answer_that_is_no_rates_is_an_error_that_says_so(rates, body):
    rates(body)
    with pytest.raises(RatesUnavailable, match=r"What http://.* answers are not exchange rates"):
        sync_exchange_rates()
    assert not ExchangeRate.objects.exists()


def test_the_unreachable_source_is_a_true_failure(settings):
    settings.EXCHANGE_RATES_URL = f"http://127.0.0.1:{broker.free_port()}/rates.json"
    with pytest.raises(RatesUnavailable, match=r"cannot be fetched: .*refused"):
        sync_exchange_rates()


def test_the_repair_makes_the_source_reachable(settings, tmp_path):
    settings.EXCHANGE_RATES_FILE = tmp_path / "data" / "rates.json"
    settings.EXCHANGE_RATES_URL = settings.EXCHANGE_RATES_FILE.as_uri()
    with pytest.raises(RatesUnavailable, match=r"cannot be fetched: .*No such file"):
        sync_exchange_rates()
    assert repair_rates_source() == {"written": str(settings.EXCHANGE_RATES_FILE)}
    assert sync_exchange_rates() == {"rates": 4}


@pytest.fixture
def sink(live_server, settings):
    """The subscriber of the webhooks on a real server; call it to say how often it refuses."""
    settings.WEBHOOK_URL = f"{live_server.url}/webhooks/sink/"

    def refuse(rate: float) -> None:
        settings.WEBHOOK_REFUSAL_RATE = rate

    return refuse


@pytest.mark.django_db(transaction=True)
def test_webhooks_are_delivered_over_http(tenant, sink):
    sink(0)
    sample_data.add_deliveries([sample_data.add_consent(tenant, age=0) for _ in range(3)])
    assert retry_webhook_deliveries(batch=2) == {"delivered": 2, "gave_up": 0, "waiting": 1}
    assert Delivery.objects.exclude(delivered_at=None).filter(attempts=1, last_error="").count() == 2


@pytest.mark.django_db(transaction=True)
def test_refused_webhooks_are_tried_again_with_growing_pauses_within_one_run(tenant, sink, monkeypatch):
    sink(1)
    sample_data.add_deliveries([sample_data.add_consent(tenant, age=0)])
    pauses = []
    retry = retry_webhook_deliveries.retry

    def noting(*args, **options):
        pauses.append(options["countdown"])
        if len(pauses) == 3:
            sink(0)
        return retry(*args, **options)

    monkeypatch.setattr(retry_webhook_deliveries, "retry", noting)
    result = retry_webhook_deliveries.apply(kwargs={"batch": 5}, task_id="one-run")
    assert result.get() == {"delivered": 1, "gave_up": 0, "waiting": 0}
    assert pauses == [2, 4, 8]
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.run_id) == (4, "one-run")


@pytest.mark.django_db(transaction=True)
def test_a_webhook_refused_too_often_is_given_up_with_the_reason(tenant, sink):
    sink(1)
    sample_data.add_deliveries([sample_data.add_consent(tenant, age=0)])
    Delivery.objects.update(attempts=GIVE_UP_AFTER - 2)
    with pytest.raises(Refused, match="1 of 1 webhooks refused"):
        retry_webhook_deliveries(batch=5)
    assert retry_webhook_deliveries(batch=5) == {"delivered": 0, "gave_up": 1, "waiting": 0}
    assert Delivery.objects.get().last_error == "503 Too busy, try again later."


@pytest.mark.django_db(transaction=True)
def test_a_subscriber_that_is_down_is_a_refusal(tenant, settings):
    settings.WEBHOOK_URL = f"http://127.0.0.1:{broker.free_port()}/"
    sample_data.add_deliveries([sample_data.add_consent(tenant, age=0)])
    with pytest.raises(Refused):
        retry_webhook_deliveries(batch=5)
    assert "refused" in Delivery.objects.get().last_error


def test_the_subscriber_refuses_a_forged_webhook(client, settings):
    settings.WEBHOOK_REFUSAL_RATE = 0
    response = client.post(
        "/webhooks/sink/", b"{}", content_type="application/json", headers={"X-Signature": "x"}
    )
    assert response.status_code == 403
    assert client.get("/webhooks/sink/").status_code == 405


def test_activity_gives_every_job_something_to_do(tenant):
    summary = simulate_activity()
    assert summary["conversations"] == Conversation.objects.count() == 2
    assert summary["documents_changed"] == Document.objects.filter(indexed_at=None).count() == 2
    assert summary["consents"] == Certificate.objects.filter(issued_at=None).count()
    assert summary["recordings"] == Recording.objects.filter(status=Recording.Status.QUEUED).count() == 1
    assert summary["webhooks"] == Delivery.objects.filter(delivered_at=None).count()
    assert summary["ledger_entries"] == LedgerEntry.objects.count() == 3


def test_the_number_of_documents_stays_bounded(tenant, monkeypatch):
    monkeypatch.setattr(sample_data, "MOST_DOCUMENTS", 3)
    sample_data.change_documents(tenant, count=20)
    assert Document.objects.count() < 10


def test_history_is_made_once_and_finds_work_for_the_daily_jobs(tenant):
    sample_data.ensure_history()
    count = Consent.objects.count()
    sample_data.ensure_history()
    assert Consent.objects.count() == count
    assert purge_stale_conversations(days=90)["conversations"] > 0
    assert enforce_retention()["consents_erased"] == 10
    assert audit_certificates(batch=100, pause=0) == {"verified": 60, "damaged": []}
    assert convert_recordings(seconds=30)["converted"] == 3


def test_people_are_made_once_and_never_changed():
    sample_data.ensure_people()
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("changed")
    admin.save()
    sample_data.ensure_people()
    admin.refresh_from_db()
    assert admin.check_password("changed")
    rights = get_user_model().objects.values_list("username", "is_superuser", "membership__is_global_admin")
    assert sorted(rights) == [("admin", True, False), ("staff", False, False), ("tenant-admin", False, True)]
