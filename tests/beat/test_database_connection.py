"""What bounds beat's waiting for the database, and the database's waiting for beat."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, OperationalError, connection, connections

from scheduled_tasks.beat import database_connection, lease
from scheduled_tasks.beat.database_connection import ConnectionGuard
from scheduled_tasks.beat.lease import Clock, LeaderLease
from scheduled_tasks.recording import connection as own_connection
from tests.live import wait_for


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="no leader can vanish from a file it has locked")
@pytest.mark.usefixtures("transactional_db")
def test_leader_that_vanishes_within_a_claim_does_not_keep_the_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_connection, "SILENCE", 1)
    monkeypatch.setattr(lease, "TTL", timedelta(seconds=1))
    first, second = LeaderLease("first", Clock()), LeaderLease("second", Clock())
    assert first.take()
    claiming, over, errors = threading.Event(), threading.Event(), []

    def vanish() -> None:
        try:
            with first.leading():
                claiming.set()
                over.wait(60)
        except DatabaseError as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=vanish)
    thread.start()
    assert claiming.wait(60)
    wait_for(second.take, message="the lead of the second")
    over.set()
    thread.join(60)
    assert (second.epoch, len(errors)) == (2, 1)


@pytest.mark.django_db
def test_renewal_that_is_rolled_back_prolongs_nothing() -> None:
    leader = LeaderLease("first", Clock())
    assert leader.take()
    time.sleep(0.2)
    with suppress(RuntimeError), leader.leading():
        raise RuntimeError
    assert leader.renewal_in < lease.RENEW_EVERY - 0.2
    with leader.leading():
        pass
    assert leader.renewal_in > lease.RENEW_EVERY - 0.2


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the other drivers bound their waiting")
@pytest.mark.usefixtures("transactional_db")
def test_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_connection, "SILENT_AFTER", 0.5)
    asking, errors, guards = threading.Event(), [], []

    def ask() -> None:
        try:
            guards.append(ConnectionGuard(connections["default"]))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET client_connection_check_interval = 200"
                )  # its end does not keep the server
                asking.set()
                cursor.execute("SELECT pg_sleep(120)")
        except OperationalError as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    assert asking.wait(60)
    began = time.monotonic()
    while thread.is_alive() and time.monotonic() - began < 60:
        guards[0].check()
        time.sleep(0.1)
    thread.join(60)
    assert len(errors) == 1


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the other drivers bound their waiting")
@pytest.mark.usefixtures("transactional_db")
def test_connection_that_rests_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_connection, "SILENT_AFTER", 1e-9)
    made = ConnectionGuard(connections["default"])
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            made.rest()
            made.check()
            cursor.execute("SELECT 1")
            made.check()
            with pytest.raises(OperationalError):
                cursor.execute("SELECT 1")
    finally:
        connection.execute_wrappers.remove(made._execute)
        connection.close()
