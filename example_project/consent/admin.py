"""The rows the jobs work on, to look at."""

from django.contrib import admin

from example_project.consent.models import Certificate, Consent, LedgerEntry, Recording, Wallet

admin.site.register([Certificate, Consent, LedgerEntry, Recording, Wallet])
