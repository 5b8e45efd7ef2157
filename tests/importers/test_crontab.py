"""Lines of a crontab that call ``manage.py`` become code to paste."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from scheduled_tasks.cron import CronExpression
from scheduled_tasks.declarations import registry
from scheduled_tasks.models import CodeDefault, Source
from tests.factories import make_task

from .conftest import Import

OPEN = "a shell would not read it: a quotation mark or a backslash is left open."


@pytest.fixture
def read(tmp_path: Path, imported: Import) -> Any:
    def write_and_import(text: str, *options: str) -> list[dict[str, Any]]:
        path = tmp_path / "crontab"
        path.write_bytes(text.encode())
        return imported("crontab", str(path), *options)

    return write_and_import


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("0 3 * * * cd /srv/shop && .venv/bin/python manage.py clearsessions", "'clearsessions'"),
        ("0 3 * * * root /srv/shop/manage.py clearsessions >> /var/log/x 2>&1", "'clearsessions'"),
        ("0\t3 * * *\troot cd $HOME && A=b C='d e' python3.12 -u manage.py check", "'check'"),
        ("0 3 * * * python manage.py migrate --plan 2>/dev/null >>/x", "'migrate', '--plan'"),
        ("0 3 * * * django-admin dumpdata 'auth.user' # all", "'dumpdata', 'auth.user'"),
        ('0 3 * * * A=b python manage.py sendtestemail "a b@c"\r', "'sendtestemail', 'a b@c'"),
        ("0 3 * * * python manage.py migrate a\\%b &>/dev/null", "'migrate', 'a%b'"),
        ("0 3 * * * manage.py check --tag '#ops' --deploy", "'check', '--tag', '#ops', '--deploy'"),
        (
            "0 3 * * * manage.py check --tag \"\" '|' \\> a\\ b'c d'#",
            "'check', '--tag', '', '|', '>', 'a bc d#'",
        ),
    ],
)
def test_the_command_of_a_line(read: Any, line: str, call: str) -> None:
    (told,) = read(line)
    assert told["result"] == "code"
    assert f"call_command({call})" in told["code"]


@pytest.mark.parametrize(
    ("start", "lost"),
    [
        (". venv/bin/activate && python", []),
        ("cd /srv/shop && source 'my venv/bin/activate' && A=b python", []),
        ("env python", []),
        ("env -i -uHOME --chdir /srv A=b C='d e' /venv/bin/python -u", []),
        ("flock -n /tmp/x python", ["flock"]),
        ("/usr/bin/flock -xw 10 --conflict-exit-code=0 /tmp/x ./", ["flock"]),
        ("nice python", ["nice"]),
        ("nice -n 19 ionice -c2 -n 7 python", ["nice", "ionice"]),
        ("nice -10 ionice -c 3 -t python", ["nice", "ionice"]),
        (
            "cd /x && A=b flock /l timeout -k 5 --signal=INT 1h env C=d nice python",
            ["flock", "timeout", "nice"],
        ),
    ],
)
def test_what_runs_manage_py_is_read_through_and_told(read: Any, start: str, lost: list[str]) -> None:
    (told,) = read(f"0 3 * * * {start} manage.py check -v 2".replace("./ ", "./"))
    assert (told["result"], told["why"]) == (
        "code",
        f"Not in the code: {', '.join(lost)}." if lost else "",
    )
    assert "call_command('check', '-v', '2')" in told["code"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0 3 * * * /usr/bin/certbot renew", "it does not call manage.py."),
        ("0 3 * * * /x/backup.sh # was: python manage.py flush --no-input", "it does not call manage.py."),
        *(
            (f"0 3 * * * {command}", f"“{first}” stands before manage.py; write the task by hand.")
            for command, first in (
                ("sh -c 'cd /srv/shop && ./manage.py check'", "sh"),
                ("echo run python manage.py flush", "echo"),
                ("echo manage.py flush", "echo"),
                ("if false; then manage.py flush; fi", "if"),
                ("[ $(date +\\%d) = 01 ] && manage.py clearsessions", "["),
                ("cat x | manage.py loaddata -", "cat"),
                ("cd /srv '&&' manage.py check", "cd"),
                ("cd /srv || manage.py check", "cd"),
                ("cd && manage.py check", "cd"),
                (". x; manage.py check", "."),
                ("python -c manage.py flush", "-c"),
                ("> manage.py flush", ">"),
                ("(manage.py flush)", "("),
                ("flock -n /x -c 'manage.py check'", "-c"),
                ("flock -n /x; manage.py check", "flock"),
                ("flock | manage.py check", "flock"),
                ("flock --until /x manage.py check", "flock"),
                ("flock /x A=b manage.py check", "A=b"),
                ("nice 10 manage.py check", "10"),
                ("nice cd /srv && manage.py check", "cd"),
                ("ionice -p 7 manage.py check", "ionice"),
                ("timeout 60 test -e /x && manage.py check", "test"),
                ("env -S 'echo manage.py'", "env"),
            )
        ),
        ("0 3 * * * cd manage.py &&", "it does not call manage.py."),
        *(
            (
                f"0 3 * * * manage.py check {after} x",
                f"“{after}” follows the call of manage.py; write the task by hand.",
            )
            for after in ("|", "||", "&&", ";", "&", "<", "<<", "0<")
        ),
        *(
            (
                f"0 3 * * * manage.py check {to} /x -v",
                "“-v” follows the call of manage.py; write the task by hand.",
            )
            for to in (">", "&>", "2> /y >>")
        ),
        ("0 3 * * * manage.py check >", "a shell would not read it: no file follows “>”."),
        ("0 3 * * * manage.py check > | x", "a shell would not read it: no file follows “>”."),
        (
            '0 3 * * * manage.py check > `date "+x y"`',
            "“+x y`” follows the call of manage.py; write the task by hand.",
        ),
        (f"0 3 * * * manage.py check {'a ' * 10_000}b", "it has 20027 characters; 10000 is the most."),
        *(
            (
                f"0 3 * * * manage.py check a{odd}b",
                f"it has the invisible character {odd!a}; write the task by hand.",
            )
            for odd in "\x1b\f\x1c\r\x85\xa0\u2028\u202e"
        ),
        ("0 3 * * * manage.py", "it calls manage.py without a command."),
        ("0 3 * * * manage.py nosuch", "this project has no management command nosuch."),
        ("0 3 * * * manage.py dumpdata $APP", "a shell may read “$APP” differently; write the task by hand."),
        (
            "0 3 * * * manage.py dumpdata `date`",
            "a shell may read “`date`” differently; write the task by hand.",
        ),
        ("0 3 * * * manage.py dumpdata 'auth", OPEN),
        ('0 3 * * * manage.py dumpdata "auth', OPEN),
        ("0 3 * * * manage.py dumpdata auth\\", OPEN),
        (
            "0 3 * * * manage.py shell %print(1)",
            "its % sends text to the command's standard input, which a task does not have.",
        ),
        ("0 3 * * * manage.py runcrons", "it runs jobs of django-cron: import that instead."),
        ("0 3 * * * manage.py crontab run 0123", "it runs jobs of django-crontab: import that instead."),
        ("0 3 * * 1-5", "it is no line of a crontab."),
        (
            "0 3 13 * 5 manage.py check",
            "“0 3 13 * 5” means either of the two days in cron, and both in Celery; split it in two.",
        ),
        (
            "@reboot manage.py check",
            "@reboot is not supported; use one of @hourly, @daily, @weekly, @monthly, @yearly.",
        ),
        ("0 25 * * * manage.py check", "hour: 25 is out of range (0-23)."),
    ],
)
def test_a_line_that_is_left_out(read: Any, line: str, why: str) -> None:
    (told,) = read(line)
    assert (told["result"], told["why"]) == ("left_out", why)


def test_zones_names_and_comments(read: Any) -> None:
    text = """# every night
MAILTO=ops@example.com
@daily python manage.py check

CRON_TZ="Asia/Tokyo"
*/10 * * * * python manage.py check --deploy
CRON_TZ=Mars/Base
0 0 * * * python manage.py check
"""
    first, second, third = read(text, "--timezone", "Europe/Berlin")
    assert (first["name"], first["schedule"], first["timezone"]) == ("check", "0 0 * * *", "Europe/Berlin")
    assert first["origin"] == "line 3: @daily python manage.py check"
    assert (second["name"], second["timezone"]) == ("check 2", "Asia/Tokyo")
    assert third["why"] == 'timezone "Mars/Base" is not known; write one such as Europe/Paris.'


def test_the_code_runs_the_command(read: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    told = read("0 3 * * * manage.py check --tag models\n@daily manage.py check --tag urls")
    monkeypatch.setattr(registry, "definitions", {})
    from scheduled_tasks import scheduled_task

    module: dict[str, Any] = {"scheduled_task": scheduled_task, "__name__": "pasted"}
    for each in told:
        exec(each["code"], module)
    assert {*registry.definitions} == {"check", "check 2"}
    declared = registry.definitions["check"].values
    assert declared["schedule"] == CronExpression.parse("0 3 * * *").canonical
    assert declared["timezone"] == "Europe/Paris"
    module["check_2"]()
    assert "no issues" in capsys.readouterr().out


def test_pasted_code_is_there_on_the_next_import(read: Any) -> None:
    line = "0 3 * * * manage.py check"
    task = make_task("check", task="shop.tasks.check")
    CodeDefault.objects.create(task=task, name="check", source=Source.DECORATOR)
    (told,) = read(line)
    assert (told["result"], told["code"]) == ("there", "")


@pytest.mark.parametrize(
    "default",
    [
        None,
        {"source": Source.BEAT_SCHEDULE},
        {"source": Source.DECORATOR, "gone_since": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_name_in_use_by_what_was_not_pasted(read: Any, default: dict[str, Any] | None) -> None:
    task = make_task("check", task="shop.tasks.other")
    if default is not None:
        CodeDefault.objects.create(task=task, name="check", **default)
    (told,) = read("0 3 * * * manage.py check")
    assert (told["result"], told["why"]) == (
        "left_out",
        "its name is in use by a task that runs shop.tasks.other.",
    )


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    before = os.dup(0)
    with path.open() as file:
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_only_a_line_feed_ends_a_line(tmp_path: Path, imported: Import) -> None:
    path = tmp_path / "crontab"
    ends = "\r\x0b\f\x1c\x1d\x1e\x85\u2028\u2029"
    path.write_bytes(
        "\n".join(f"# old{end}@daily manage.py flush" for end in ends).encode() + b"\n@daily ls\r\n"
    )
    told = imported("crontab", str(path))
    assert [each["origin"] for each in told] == [f"line {len(ends) + 1}: @daily ls"]
    with standard_input(path):
        assert imported("crontab", "-") == told


def test_standard_input_and_the_report(tmp_path: Path, transactional_db: None) -> None:
    path = tmp_path / "crontab"
    path.write_text("@daily manage.py check\n@daily ls\n")
    out = io.StringIO()
    with standard_input(path):
        call_command("scheduled_tasks_import", "crontab", "-", "--dry-run", stdout=out)
    assert out.getvalue() == (
        "needs code: check: 0 0 * * * (Europe/Paris) "
        "[line 1: @daily manage.py check]\n"
        "left out: line 2: @daily ls – it does not call manage.py.\n"
        "\nPaste this into a module of tasks that Celery loads:\n"
        "\nfrom scheduled_tasks import scheduled_task\n"
        "\n\n# From line 1: @daily manage.py check\n"
        "@scheduled_task('0 0 * * *', name='check', timezone='Europe/Paris')\n"
        "def check():\n"
        "    from django.core.management import call_command\n\n"
        "    return call_command('check')\n"
        "1 needs code, 1 left out.\n"
        "Take these out of crontab before beat starts them, or they run twice.\n"
    )


def test_nothing_to_read(imported: Import) -> None:
    with pytest.raises(CommandError, match="Nothing was imported: name the file, or -"):
        imported("crontab")
    with pytest.raises(CommandError, match=r"Nothing was imported: /no/such cannot be read: .*No such file"):
        imported("crontab", "/no/such")
    with pytest.raises(CommandError, match=r'timezone "Mars" is not known'):
        imported("crontab", "/dev/null", "--timezone", "Mars")
