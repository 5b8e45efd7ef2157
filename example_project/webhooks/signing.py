"""How the site signs the webhooks it sends, and how their receiver tells that they are true."""

from django.utils.crypto import constant_time_compare, salted_hmac

HEADER = "X-Signature"


def signature(body: bytes) -> str:
    """The SHA-256 HMAC of a webhook's body, hexadecimal."""
    return salted_hmac("example_project.webhooks", body, algorithm="sha256").hexdigest()


def is_signed(body: bytes, claimed: str) -> bool:
    """Whether ``claimed`` is this site's signature of ``body``."""
    return constant_time_compare(signature(body), claimed)
