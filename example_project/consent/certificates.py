"""What a certificate says, and how anybody with the site's key can check that it says the truth."""

import hashlib
import json

from django.core.files.base import ContentFile
from django.core.signing import Signer
from django.utils import timezone

from example_project.consent.models import Certificate, Consent

signer = Signer(salt="example_project.consent.certificate")


def digest(consent: Consent) -> str:
    """SHA-256, hexadecimal, of the facts of a consent."""
    facts = [consent.pk, consent.subject, consent.purpose, int(consent.given_at.timestamp())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def issue(certificate: Certificate) -> None:
    """Digest the consent, attest the digest, store both in a file."""
    certificate.digest = digest(certificate.consent)
    certificate.attestation = signer.signature(certificate.digest)
    certificate.issued_at = timezone.now()
    content = {
        "consent": certificate.consent_id,
        "purpose": certificate.consent.purpose,
        "digest": certificate.digest,
        "attestation": certificate.attestation,
        "issued_at": certificate.issued_at.isoformat(),
    }
    certificate.file.save(
        f"consent-{certificate.consent_id}.json", ContentFile(json.dumps(content, indent=2)), save=False
    )
    certificate.save()


def is_intact(certificate: Certificate) -> bool:
    """Whether the stored file still tells the consent as it was given, under this site's attestation."""
    try:
        with certificate.file.open("rb") as file:
            content = json.load(file)
        stored, attestation = content["digest"], content["attestation"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(stored == digest(certificate.consent) and attestation == signer.signature(stored))
