"""The tests' settings with django-grappelli, whose own scripts and styles need a laxer policy than ours."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = ["grappelli", *INSTALLED_APPS]
MIDDLEWARE = [name for name in MIDDLEWARE if name != "tests.csp.strict"]
