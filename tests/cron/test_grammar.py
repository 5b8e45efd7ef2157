"""Which texts are cron expressions, what is said about the others, and the canonical form."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from scheduled_tasks.cron import CronExpression, InvalidCron

VECTORS = json.loads((Path(__file__).parent.parent / "cron_vectors.json").read_text())
INVALID = [pytest.param(vector, id=vector["id"]) for vector in VECTORS if not vector["valid"]]


def refusal(text):
    with pytest.raises(InvalidCron) as caught:
        CronExpression.parse(text)
    return caught.value


@pytest.mark.parametrize("vector", INVALID)
def test_says_what_is_wrong_with_the_others(vector):
    error = refusal(vector["expression"])
    assert (error.code, str(error)) == (vector["reason_code"], vector["reason"])


@pytest.mark.parametrize("text", [None, b"0 3 * * *", 5, 1.5, ["0"], {}, object(), NotImplemented])
def test_refuses_what_is_no_text(text):
    assert refusal(text).code in ("type", "empty")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("0 3 * * 5/2", "step_start", 'day of week: "5/2" is not standard cron; write 5-6/2.'),
        ("0 3 * * 7/2", "step_start", 'day of week: "7/2" is not standard cron; write 0-6/2.'),
        ("0 3 * * thurs", "name", "day of week: write THU instead of thurs."),
        ("0 3 * foo *", "syntax", 'month: "foo" is not a valid value.'),
        ("0 3 * * FRIL", "extension", 'day of week: "FRIL" (L, W, #) is not supported.'),
        ("H(0-29)/10 * * * *", "extension", 'minute: random or hashed values ("H(0-29)") are not supported.'),
        ("*/ * * * *", "step", 'minute: "/" is not a valid step.'),
        ("0 3 * *\x00 *", "characters", "Only plain ASCII characters are allowed."),
        ("23-0 3 * * *", "backwards", None),
        (",".join(f"{n}-{n + 1}" for n in range(58)) + " 3 * * *", "too_long", "The expression is too long."),
    ],
)
def test_more_refusals(text, code, message):
    error = refusal(text)
    assert error.code == code
    assert message is None or str(error) == message


def test_a_long_wrong_value_is_cut_in_the_message():
    assert len(str(refusal("x" * 500 + " * * * *"))) < 120


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0 3 * * SUN-SUN", "0 3 * * 0"),
        ("0 3 * * 7-7", "0 3 * * 0"),
        ("0 3 * * 6-7", "0 3 * * 6,0"),
        ("0 3 * * 1-7/2", "0 3 * * 1,3,5,0"),
        ("0 3 * * MON-SUN", "0 3 * * *"),
        ("5-20/1,5-20 3 * * *", "5-20 3 * * *"),
        ("*/05 03 01 Feb-apr *", "*/5 3 1 2-4 *"),
        ("\n@Annually ", "0 0 1 1 *"),
        ("\t" * 5000 + "0 3 * * *", "0 3 * * *"),
    ],
)
def test_canonical_form(text, canonical):
    assert CronExpression.parse(text).canonical == canonical


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(refusal("60 * * * *")))
    assert (error.code, str(error)) == ("range", "minute: 60 is out of range (0-59).")


@pytest.mark.parametrize("environment", [{}, {"DJANGO_SETTINGS_MODULE": "django.conf.global_settings"}])
def test_a_message_needs_no_apps_loaded(environment):
    """A wrong declaration must explain itself while modules are being imported, and make no Celery app."""
    code = (
        "from scheduled_tasks.cron import CronExpression, InvalidCron\n"
        "from celery._state import _get_active_apps\n"
        "from django.apps import apps\n"
        "print(apps.apps_ready, list(_get_active_apps()))\n"
        "try: CronExpression.parse('0 25 * * *')\n"
        "except InvalidCron as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.splitlines() == ["False []", "hour: 25 is out of range (0-23)."]
