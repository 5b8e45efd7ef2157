"""The page in German, French and Spanish: complete, and without words left in English."""

import html
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from scheduled_tasks import reasons
from scheduled_tasks.admin import formats
from scheduled_tasks.cron import CronExpression, InvalidCron
from scheduled_tasks.declarations.fields import FIELDS
from scheduled_tasks.models import (
    CodeDefault,
    Flag,
    Misfire,
    Overlap,
    ProcessKind,
    Status,
    TaskRun,
    TaskState,
    Trigger,
    database_now,
)
from scheduled_tasks.reading.listed_task import State
from tests.factories import make_process, make_run, make_task

LANGUAGES = ("de", "fr", "es")
VECTORS = json.loads(Path(__file__).with_name("cron_vectors.json").read_text())
MORE = (
    "0 3 * * 0-5",
    "*/15 * * * 1-6",
    "0 0 10-20 * 1-5",
    "0 0 2-30/2 * 0,6",
    "*/5 * 13 * 5",
    "0 9 22-28 3-5 1",
)
MORE += (
    "1-59/2 * * * *",
    "5,35 9-17 * * *",
    "15 */5 * * *",
    "0 0 1,15 1,7 *",
    "30 1 1-7 1 *",
    "*/5 * 1 1,7 *",
)
ENGLISH = re.compile(
    r"\b(every|daily|hourly|monthly|yearly|weekdays?|weekends?|at|on|of|the|through|first|second|third|fourth"
    r"|from|and|or|odd|even|days?|hours?|minutes? past|only|noon|midnight|\w+days)\b|\d [AP]M\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("choices", [Status, State, Flag, Overlap, Misfire, Trigger])
def test_every_state_has_its_own_word(language, choices):
    english = [str(label) for label in choices.labels]
    with translation.override(language):
        labels = [str(label) for label in choices.labels]
    same = {label for label in english if label in labels}
    assert same <= {"Active"} if language == "fr" else not same
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "expression", [*dict.fromkeys(each["canonical"] for each in VECTORS if each["valid"]), *MORE]
)
def test_labels_of_schedules_have_no_english_left(language, expression):
    cron = CronExpression.parse(expression)
    with translation.override(language):
        label = str(cron.label)
    assert label == cron.canonical or not ENGLISH.search(label.replace("Minute", "")), label
    assert "%" not in label


@pytest.mark.parametrize(
    ("expression", "german", "french", "spanish"),
    [
        ("0 3 * * *", "Täglich um 3 Uhr", "Tous les jours à 3 h", "Todos los días a las 3:00"),
        ("0 0,12 * * *", "Täglich um 0 und 12 Uhr", "Tous les jours à minuit et midi",
         "Todos los días a las 0:00 y las 12:00"),
        ("30 1 * * *", "Täglich um 1:30 Uhr", "Tous les jours à 1 h 30", "Todos los días a la 1:30"),
        ("0 4 * * 0", "Jeden Sonntag um 4 Uhr", "Tous les dimanches à 4 h", "Todos los domingos a las 4:00"),
        ("*/15 9-17 * * 1-5", "Alle 15 Minuten von 9 bis 17:45 Uhr, montags bis freitags",
         "Toutes les 15 minutes de 9 h à 17 h 45, du lundi au vendredi",
         "Cada 15 minutos de las 9:00 a las 17:45, de lunes a viernes"),
        ("0 0 1,15 * *", "Monatlich am 1. und 15. um 0 Uhr", "Les 1er et 15 de chaque mois à minuit",
         "Los días 1 y 15 de cada mes a las 0:00"),
        ("30 15 1 3 *", "Jährlich am 1. März um 15:30 Uhr", "Tous les ans le 1er mars à 15 h 30",
         "Todos los años el 1 de marzo a las 15:30"),
        ("5 * * * *", "Stündlich zur Minute 05", "Toutes les heures à la minute 05",
         "Cada hora en el minuto 05"),
        ("0 9 1-7 * 1", "Jeden ersten Montag im Monat um 9 Uhr", "Le premier lundi du mois à 9 h",
         "El primer lunes del mes a las 9:00"),
    ],
)  # fmt: skip
def test_labels_read_naturally(expression, german, french, spanish):
    cron = CronExpression.parse(expression)
    for language, expected in zip(LANGUAGES, (german, french, spanish), strict=True):
        with translation.override(language):
            assert str(cron.label).replace("\xa0", " ") == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refused_expression_is_explained(language):
    for vector in VECTORS:
        if vector["valid"]:
            continue
        with pytest.raises(InvalidCron) as caught:
            CronExpression.parse(vector["expression"])
        with translation.override(language):
            assert str(caught.value) != vector["reason"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_field_names_are_those_of_the_declaration(language):
    with translation.override(language):
        assert str(FIELDS["schedule"].label) != "schedule"


@pytest.mark.parametrize(
    ("language", "future", "past", "decimal"),
    [
        ("de", "in 3 Tagen", "vor 3 Tagen", "2,4 s"),
        ("fr", "dans 3\xa0j", "il y a 3\xa0j", "2,4 s"),
        ("es", "en 3 días", "hace 3 días", "2,4 s"),
    ],
)
def test_times_and_numbers_follow_the_language(language, future, past, decimal):
    now = timezone.now()
    away = timedelta(days=3, hours=1)
    with translation.override(language):
        assert formats.relative(now + away, now) == future
        assert formats.relative(now - away, now) == past
        assert formats.duration(timedelta(seconds=2.4)).replace("\xa0", " ") == decimal


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_script_says_nothing_in_english(language):
    with translation.override("en"):
        english = formats.script_words()
    with translation.override(language):
        translated = formats.script_words()
    texts = [key for key, value in english.items() if isinstance(value, str)]
    same = {key for key in texts if translated[key] == english[key]}
    assert same <= ({"in"} if language == "de" else set())  # "in 3 Tagen"
    assert translated["units"][2] != english["units"][2]


def texts_of(page):
    """What a person sees or hears of a page: its text, and the attributes that are read out."""
    page = re.sub(r"(?s)<(script|style|svg|pre|option|textarea)\b.*?</\1>", " ", page)
    spoken = re.findall(r'(?:title|aria-label|placeholder|data-label)="([^"]+)"', page)
    written = re.split(r"<[^>]+>", page)
    return {" ".join(html.unescape(text).split()) for text in [*spoken, *written]} - {""}


def quoted(entry, keyword):
    """A text of a catalogue's entry."""
    found = re.search(rf'^{keyword} ((?:".*"\n?)+)', entry, re.MULTILINE)
    return "".join(json.loads(line) for line in found[1].splitlines()) if found else ""


def untranslated(language, texts):
    """Those of the texts that are English sentences of this app."""
    catalogue = Path(reasons.__file__).with_name("locale") / language / "LC_MESSAGES" / "django.po"
    entries = catalogue.read_text().split("\n\n")[1:]
    found = []
    for entry in entries:
        english = quoted(entry, "msgid")
        answer = quoted(entry, "msgstr") or quoted(entry, r"msgstr\[0\]")
        told = re.sub(r"%\(\w+\)\w+|%s", "", english)
        if english == answer or not re.search("[A-Za-z]{4}" if told != english else "[A-Za-z]{2}", told):
            continue  # said alike, or too short to be told from other texts
        pattern = re.sub(r"%\\\(\w+\\\)\w+|%s", ".+", re.escape(english))
        found += [text for text in texts if re.fullmatch(pattern, text)]
    return found


@pytest.fixture
def site(db):
    """Tasks and runs in every state, beside a worker that does not know all tasks, and no beat."""
    make_process(ProcessKind.WORKER, boot_id="w")
    now = database_now()
    first = make_task("alpha", description="1")
    for number, status in enumerate(Status):
        make_run(first, status, ago=9000 - number, reason=reasons.Code.BEAT_HELD_UP, process_id="w")
    by_anna = {"trigger": "manual", "actor": "anna"}
    make_run(first, Status.RUNNING, ago=9, process_id="w", progress='{"done": 3, "total": 4}', **by_anna)
    TaskState.objects.create(task_id=first.pk, skip_next=True)
    failing = make_task("beta", cron="*/15 9-17 * * 1-5", zone="Asia/Tokyo", description="2")
    for ago in (300, 200):
        make_run(failing, Status.FAILED, ago=ago, error_type="ValueError", error="5", trigger="retry")
    declared = {"schedule": "0 3 * * *", "timezone": "UTC", "description": "3"}
    CodeDefault.objects.create(task_id=failing.pk, name="beta", source="decorator", declared=declared)
    make_task("gamma", enabled=False)
    make_task("delta", task="gone")
    make_task("epsilon", cron="0 nonsense * * *")
    late = make_task("zeta")
    due = now - timedelta(minutes=30)
    TaskState.objects.create(task_id=late.pk, next_run_at=due, accounted_until=due)
    gone = make_task("eta", enabled=False)
    TaskState.objects.create(task_id=gone.pk, paused_by="sync")
    CodeDefault.objects.create(task_id=gone.pk, name="eta", source="decorator", declared={}, gone_since=now)


def pages():
    """Addresses of every page, and whether only the script asks for it."""
    task = {"args": [TaskRun.objects.filter(name="beta").first().task_id]}
    run = {"args": [TaskRun.objects.filter(name="beta").first().pk]}
    names = ("change", "schedule", "pause", "new_run", "history")
    for script in (False, True):
        yield reverse("admin:scheduled_tasks_scheduledtask_changelist"), script
        yield reverse("admin:scheduled_tasks_taskrun_changelist"), script
        yield reverse("admin:scheduled_tasks_taskrun_change", **run), script
        for name in names:
            yield reverse(f"admin:scheduled_tasks_scheduledtask_{name}", **task), script
    preview = reverse("admin:scheduled_tasks_scheduledtask_preview", **task)
    for cron in ("0 0 29 2 1", "61 * * * *", "30 2 * * *"):
        yield f"{preview}?cron={cron}&zone=Europe/Paris", True
    yield reverse("admin:scheduled_tasks_scheduledtask_rows"), True


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_have_no_english_left(language, site, admin_client):
    left = {}
    for url, script in pages():
        headers = {"Accept-Language": language, **({"ST-Request": "1"} if script else {})}
        response = admin_client.get(url, headers=headers)
        assert response.status_code == 200, url
        if found := untranslated(language, texts_of(response.content.decode())):
            left[url, script] = found
    assert left == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stranger_is_refused_in_his_language(language, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("tom", is_staff=True))
    url = reverse("admin:scheduled_tasks_scheduledtask_changelist")
    response = client.get(url, headers={"Accept-Language": language})
    assert response.status_code == 403
    assert untranslated(language, texts_of(response.content.decode())) == []


def test_the_english_page_would_be_found_out(site, admin_client):
    """The search for what was left in English finds it where nothing is translated."""
    response = admin_client.get(reverse("admin:scheduled_tasks_scheduledtask_changelist"))
    found = untranslated("de", texts_of(response.content.decode()))
    assert {"Next run", "Select alpha", "Paused", "Beat is not running.", "Late"} <= set(found)
