"""Who is to be indexed anew is queued once a transaction, and never lost."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from annotation.signals import photo_annotated
from matching import services, tasks

ALICE, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


def tell(profile_id: uuid.UUID) -> None:
    photo_annotated.send(None, photo_id=uuid.uuid4(), profile_id=profile_id)


def queued(broker: Any) -> list[list[str]]:
    """The people of each message."""
    return [json.loads(m)["args"][0] for m in broker.queues["matching"].queue]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_queues_everybody_once_in_one_message(broker: Any) -> None:
    with transaction.atomic():
        for person in (ALICE, BOB, ALICE, ALICE):
            tell(person)
        assert queued(broker) == []
    assert queued(broker) == [[str(ALICE), str(BOB)]]


@pytest.mark.django_db(transaction=True)
def test_every_transaction_queues_them_again(broker: Any) -> None:
    tell(ALICE)
    with transaction.atomic():
        tell(ALICE)
    assert queued(broker) == [[str(ALICE)]] * 2


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_takes_nobody_elses_wish_along(broker: Any) -> None:
    with transaction.atomic():
        with transaction.atomic():
            tell(ALICE)
            transaction.set_rollback(True)
        tell(ALICE)
    assert queued(broker) == [[str(ALICE)]]


@pytest.mark.django_db(transaction=True)
def test_whoever_joins_a_wish_is_not_rolled_back_with_it(broker: Any) -> None:
    with transaction.atomic():
        with transaction.atomic():
            tell(ALICE)
            transaction.set_rollback(True)
        with transaction.atomic():
            tell(BOB)
        tell(ALICE)
    assert sorted(queued(broker)) == [[str(ALICE)], [str(BOB)]]


@pytest.mark.django_db(transaction=True)
def test_whoever_changes_within_a_savepoint_joins_the_wish_before_it(
    broker: Any,
) -> None:
    with transaction.atomic():
        tell(ALICE)
        with transaction.atomic():
            tell(BOB)
    assert queued(broker) == [[str(ALICE), str(BOB)]]


@pytest.mark.django_db(transaction=True)
def test_messages_are_of_ten_people_at_most(broker: Any) -> None:
    with transaction.atomic():
        for number in range(24):
            tell(uuid.UUID(int=number))
    messages = queued(broker)
    assert [len(message) for message in messages] == [10, 10, 4]
    assert len({pk for message in messages for pk in message}) == 24


def test_one_who_cannot_be_indexed_keeps_nobody_else_out(
    broker: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_for_alice(people: list[uuid.UUID]) -> None:
        if ALICE in people:
            raise RuntimeError("broken")

    monkeypatch.setattr(services, "reindex", fails_for_alice)
    tasks.reindex.fn([str(ALICE), str(BOB)])
    assert queued(broker) == [[str(ALICE)], [str(BOB)]]
    assert "People are indexed one by one: RuntimeError" in caplog.text
    assert str(ALICE) not in caplog.text
    tasks.reindex.fn([str(BOB)])
    with pytest.raises(RuntimeError):
        tasks.reindex.fn([str(ALICE)])


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_down_does_not_make_ten_messages_of_one(
    broker: Any, monkeypatch: pytest.MonkeyPatch, error: type[DatabaseError]
) -> None:
    def fail(people: list[uuid.UUID]) -> None:
        raise error("the server closed the connection")

    monkeypatch.setattr(services, "reindex", fail)
    with pytest.raises(error):
        tasks.reindex.fn([str(ALICE), str(BOB)])
    assert queued(broker) == []
