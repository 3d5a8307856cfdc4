"""Who is to be indexed anew is queued once a transaction, and never lost."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import transaction

from annotation.signals import photo_annotated

ALICE, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


def tell(profile_id: uuid.UUID) -> None:
    photo_annotated.send(None, photo_id=uuid.uuid4(), profile_id=profile_id)


def queued(broker: Any) -> list[str]:
    return [json.loads(m)["args"][0] for m in broker.queues["matching"].queue]


@pytest.mark.django_db(transaction=True)
def test_a_person_is_queued_once_for_all_their_photos(broker: Any) -> None:
    with transaction.atomic():
        for person in (ALICE, BOB, ALICE, ALICE):
            tell(person)
        assert queued(broker) == []
    assert queued(broker) == [str(ALICE), str(BOB)]


@pytest.mark.django_db(transaction=True)
def test_every_transaction_queues_them_again(broker: Any) -> None:
    tell(ALICE)
    with transaction.atomic():
        tell(ALICE)
    assert queued(broker) == [str(ALICE)] * 2


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_takes_nobody_elses_wish_along(broker: Any) -> None:
    with transaction.atomic():
        with transaction.atomic():
            tell(ALICE)
            transaction.set_rollback(True)
        tell(ALICE)
    assert queued(broker) == [str(ALICE)]
