"""The subscriber of the webhooks: it stands in for another company's server."""

import random

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from example_project.webhooks.signing import HEADER, is_signed


@csrf_exempt
@require_POST
def sink(request: HttpRequest) -> HttpResponse:
    """Takes a signed webhook (204), refuses a forged one (403), and is sometimes too busy (503)."""
    if not is_signed(request.body, request.headers.get(HEADER, "")):
        return HttpResponse("The signature is wrong.", status=403, content_type="text/plain")
    if random.random() < settings.WEBHOOK_REFUSAL_RATE:
        return HttpResponse("Too busy, try again later.", status=503, content_type="text/plain")
    return HttpResponse(status=204)
