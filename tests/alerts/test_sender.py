"""Each notice is sent once, and none is forgotten."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.alerts import sender as sending
from scheduled_tasks.alerts.sender import DELAYS, Sender
from scheduled_tasks.models import Notice, NoticeState, database_now
from tests.alerts.receiver import status
from tests.alerts.rows import make_incident, make_notice
from tests.factories import make_process
from tests.live import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

KEEP, REFUSE, HANG, DETACHED = (
    f"tests.alerts.called.{name}" for name in ("keep", "refuse", "hang", "detached")
)
MINUTE = timedelta(minutes=1)


def state(notice: Notice) -> str:
    return Notice.objects.values_list("state", flat=True).get(pk=notice.pk)


def settled(sender: Sender) -> None:
    """A turn, and everything that came of it."""
    sender.turn()
    for thread in sender._threads.values():
        thread.join(30)


def make_due(notice: Notice, **values) -> None:
    Notice.objects.filter(pk=notice.pk).update(due_at=database_now() - timedelta(seconds=1), **values)


def test_a_due_notice_is_sent_and_noted(sender, function, alerts):
    alerts(default=[KEEP])
    notice = make_notice(KEEP)
    settled(sender)
    notice.refresh_from_db()
    assert notice.state == NoticeState.SENT
    assert (notice.due_at, notice.attempts, notice.error) == (None, 1, "")
    assert notice.sent_at is not None
    assert [each.notice_id for each in function.got] == [notice.pk]
    assert function.got[0].title == (
        "Failing: exchange-rate-sync (3 failures in a row). RatesUnavailable: the source does not answer"
    )
    settled(sender)
    settled(Sender("another"))
    assert len(function.got) == 1


def test_what_is_not_due_waits(sender, function, alerts):
    alerts(default=[KEEP])
    make_notice(KEEP, due_at=database_now() + MINUTE)
    settled(sender)
    assert function.got == []


def test_nothing_to_do_costs_one_statement(sender):
    with CaptureQueriesContext(connection) as statements:
        sender.turn()
    assert len(statements) == 1
    assert sender._threads == {}


def test_refused_again_and_again(sender, function, alerts):
    """Ten attempts in an hour."""
    alerts(default=[REFUSE])
    notice = make_notice(REFUSE)
    for delay in DELAYS:
        before = database_now()
        settled(sender)
        notice.refresh_from_db()
        assert notice.state == NoticeState.WAITING
        assert notice.error == "RuntimeError: no pager answers, password=••••••"
        assert timedelta(0) <= notice.due_at - before - timedelta(seconds=delay) < timedelta(seconds=10)
        make_due(notice)
    settled(sender)
    notice.refresh_from_db()
    assert (notice.state, notice.due_at, notice.attempts) == (NoticeState.GIVEN_UP, None, 10)
    assert sum(DELAYS) == 3600
    make_due(notice, state=NoticeState.WAITING, attempts=11)
    settled(sender)
    assert len(function.got) == 10, "whoever dies of it is not killed for ever"


def test_sent_at_a_later_attempt(sender, receiver, alerts):
    address = receiver.url()
    receiver.answers = [status(500), status(204)]
    alerts(default=[address])
    notice = make_notice(address)
    settled(sender)
    notice.refresh_from_db()
    assert (notice.state, notice.error) == (NoticeState.WAITING, "The receiver answered 500.")
    assert (notice.label, "s3cr3t" in str(vars(notice))) == (
        f"http://127.0.0.1:{receiver.server_port}",
        False,
    )
    make_due(notice)
    settled(sender)
    notice.refresh_from_db()
    assert (notice.state, notice.error) == (NoticeState.SENT, "")
    assert len({post.headers["Idempotency-Key"] for post in receiver.posts}) == 1


def test_a_channel_that_hangs_delays_no_other(sender, function, alerts):
    alerts(default=[HANG, KEEP])
    hanging, other = make_notice(HANG), make_notice(KEEP, make_incident("other"))
    began = time.monotonic()
    sender.turn()
    wait_for(lambda: state(other) == NoticeState.SENT, message="the other is sent")
    assert time.monotonic() - began < 10
    later = make_notice(KEEP, make_incident("later"))
    sender.turn()
    wait_for(lambda: state(later) == NoticeState.SENT, message="the later is sent")
    assert state(hanging) == NoticeState.CLAIMED
    make_due(hanging)
    sender.turn()
    assert len([each for each in function.got if each.notice_id == hanging.pk]) == 1
    hanging.refresh_from_db()
    assert (hanging.state, hanging.error) == (NoticeState.CLAIMED, "It has not answered for a minute.")
    function.release()
    wait_for(lambda: state(hanging) == NoticeState.SENT, message="what hung is noted")
    hanging.refresh_from_db()
    assert hanging.error == ""


def test_many_notices_of_a_channel_that_hangs_hide_no_other(sender, function, alerts, monkeypatch):
    monkeypatch.setattr(sending, "AT_ONCE", 5)
    alerts(default=[HANG, KEEP])
    incident = make_incident()
    for _ in range(10):
        make_notice(HANG, incident)
    other = make_notice(KEEP, make_incident("other"))
    sender.turn()
    sender.turn()
    wait_for(lambda: state(other) == NoticeState.SENT, message="the other is sent")


def test_a_channel_that_hangs_keeps_no_connection(sender, function, alerts):
    alerts(default=[DETACHED])
    notice = make_notice(DETACHED)
    settled(sender)
    assert state(notice) == NoticeState.SENT


def test_the_claim_of_a_process_that_is_gone(sender, function, alerts):
    alerts(default=[KEEP])
    gone = make_process(silent=90)
    claimed = {"state": NoticeState.CLAIMED, "claimed_by": gone.boot_id, "attempts": 1}
    notice = make_notice(KEEP, due_at=database_now() + MINUTE, **claimed)
    settled(sender)
    assert state(notice) == NoticeState.CLAIMED, "not before the claim lapses"
    make_due(notice)
    settled(sender)
    assert state(notice) == NoticeState.SENT
    assert len(function.got) == 1


def test_the_claim_of_a_process_that_lives(sender, function, alerts):
    """It may be a channel that takes long; nobody else calls it meanwhile."""
    alerts(default=[KEEP])
    living = make_process()
    notice = make_notice(KEEP, state=NoticeState.CLAIMED, claimed_by=living.boot_id, attempts=1)
    settled(sender)
    assert state(notice) == NoticeState.CLAIMED
    living.stopped_at = database_now()
    living.save()
    settled(sender)
    assert state(notice) == NoticeState.SENT


def test_recovery_never_arrives_first(sender, receiver, alerts):
    address = receiver.url()
    receiver.answers = [status(503), status(204)]
    alerts(default=[address])
    incident = make_incident()
    opened = make_notice(address, incident)
    settled(sender)
    closed = make_notice(address, incident, event="closed")
    unrelated = make_notice(address, make_incident("other"))
    settled(sender)
    assert [state(each) for each in (opened, closed, unrelated)] == ["waiting", "waiting", "sent"]
    make_due(opened)
    settled(sender)
    settled(sender)
    assert [state(each) for each in (opened, closed)] == ["sent", "sent"]
    keys = [int(post.headers["Idempotency-Key"]) for post in receiver.posts]
    assert keys == [opened.pk, unrelated.pk, opened.pk, closed.pk]


def test_what_comes_back_never_overtakes_its_recovery(sender, function, alerts):
    alerts(default=[KEEP])
    over = make_incident(closed_at=database_now())
    closed = make_notice(KEEP, over, event="closed", due_at=database_now() + MINUTE)
    back = make_incident("again", key=over.key, open_key=over.key)
    opened = make_notice(KEEP, back)
    settled(sender)
    assert (state(closed), state(opened)) == ("waiting", "waiting")
    make_due(closed)
    settled(sender)
    settled(sender)
    assert [each.notice_id for each in function.got] == [closed.pk, opened.pk]


def test_recovery_of_what_was_given_up(sender, function, alerts):
    alerts(default=[KEEP])
    incident = make_incident()
    make_notice(KEEP, incident, state=NoticeState.GIVEN_UP, due_at=None)
    closed = make_notice(KEEP, incident, event="closed")
    settled(sender)
    assert state(closed) == NoticeState.SENT


def test_channel_that_is_configured_no_more(sender, alerts):
    alerts(default=[])
    notice = make_notice(KEEP)
    settled(sender)
    notice.refresh_from_db()
    assert (notice.state, notice.error) == (NoticeState.WAITING, "This channel is not in ALERTS any more.")


def test_several_senders_at_once(function, alerts):
    """During a takeover two processes may look at the same moment."""
    alerts(default=[KEEP])
    incident = make_incident()
    notices = [make_notice(KEEP, incident) for _ in range(12)]
    senders = [Sender(f"process-{number}") for number in range(3)]
    turns = [threading.Thread(target=_turn_and_close, args=[each]) for each in senders]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join()

    def all_sent() -> bool:
        for each in senders:
            each.turn()
        return not Notice.objects.exclude(state=NoticeState.SENT).exists()

    wait_for(all_sent, message="all are sent", interval=0.2)
    assert sorted(each.notice_id for each in function.got) == [notice.pk for notice in notices]


def _turn_and_close(sender: Sender) -> None:
    try:
        sender.turn()
    finally:
        connection.close()


def test_database_away_after_the_channel_has_taken_it(sender, function, alerts, monkeypatch):
    write, failures = Sender._write, [OperationalError("gone"), OperationalError("still gone")]

    def flaky(self, notice, fault):
        if failures:
            raise failures.pop()
        write(self, notice, fault)

    monkeypatch.setattr(Sender, "_write", flaky)
    monkeypatch.setattr(sending, "NOTE_EVERY", 0.05)
    alerts(default=[KEEP])
    notice = make_notice(KEEP)
    settled(sender)
    assert (state(notice), failures, len(function.got)) == (NoticeState.SENT, [], 1)


def test_stop_does_not_wait_for_what_hangs(function, alerts, monkeypatch):
    monkeypatch.setattr(sending, "STOP_WITHIN", 0.5)
    alerts(default=[HANG, KEEP])
    sender = Sender("me")
    hanging = make_notice(HANG)
    sender.turn()
    wait_for(lambda: function.got, message="it hangs")
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 2
    waiting = make_notice(KEEP, make_incident("other"))
    sender.turn()
    assert (state(hanging), state(waiting)) == (NoticeState.CLAIMED, NoticeState.WAITING)
    function.release()
    wait_for(lambda: state(hanging) == NoticeState.SENT, message="what hung is noted")


def test_stop_waits_for_what_is_under_way(receiver, alerts):
    def slowly(handler):
        time.sleep(1)
        status(204)(handler)

    receiver.answers = [slowly]
    alerts(default=[receiver.url()])
    sender = Sender("me")
    notice = make_notice(receiver.url())
    sender.turn()
    wait_for(lambda: receiver.posts, message="it is under way")
    sender.stop()
    assert state(notice) == NoticeState.SENT


def test_a_process_that_stood_still_does_not_send_what_another_has_sent(
    sender, function, alerts, monkeypatch
):
    """As after SIGSTOP between claim and send: the claim has lapsed when it goes on."""
    alerts(default=[KEEP])
    notice, find = make_notice(KEEP), sending.find

    def stand_still(channel):
        monkeypatch.setattr(sending, "find", find)
        monkeypatch.setattr(sending, "CLAIMED_FOR", MINUTE)
        time.sleep(0.2)
        make_due(notice)
        settled(Sender("another"))
        return find(channel)

    monkeypatch.setattr(sending, "CLAIMED_FOR", timedelta(seconds=0.1))
    monkeypatch.setattr(sending, "find", stand_still)
    settled(sender)
    notice.refresh_from_db()
    assert (notice.state, notice.error, len(function.got)) == (NoticeState.SENT, "", 1)
