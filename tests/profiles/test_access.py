"""Whom a caller may act for: the statements that requests ask agree with the rules."""

from __future__ import annotations

import itertools
import uuid

import pytest
from rest_framework_simplejwt.exceptions import InvalidToken

from profiles import services
from profiles.access import LiveCallerAuthentication, people_of, person_of
from profiles.models import Client, Profile
from tests.conftest import MakePerson
from twinby.errors import NotFoundError
from twinby.rest.callers import Caller, issue_token


@pytest.fixture
def callers(make_person: MakePerson) -> list[Caller]:
    """Of two clients, one person too many: of another client than their token says."""
    ours, theirs = make_person(), services.create_client("another app")[0]
    their_own = make_person(client_id=theirs.pk)
    return [
        Caller(ours.client_id),
        Caller(ours.client_id, ours.pk),
        Caller(ours.client_id, make_person().pk),
        Caller(ours.client_id, their_own.pk),
        Caller(theirs.pk),
        Caller(theirs.pk, their_own.pk),
        Caller(uuid.uuid4()),
    ]


def acts_for(who: Caller, person: Profile) -> bool:
    try:
        return person_of(who, person.pk) == person
    except NotFoundError:
        return False


def is_let_in(who: Caller) -> bool:
    # Whatever is wrong with a token's owner, the answer is the same.
    authentication = LiveCallerAuthentication()
    token = authentication.get_validated_token(issue_token(who).encode())
    try:
        return bool(authentication.get_user(token) == who)
    except InvalidToken:
        return False


def test_a_caller_acts_for_exactly_the_people_of_the_rule(
    callers: list[Caller],
) -> None:
    everybody = list(Profile.objects.all())
    for who, person in itertools.product(callers, everybody):
        by_rule = people_of(who).filter(pk=person.pk).exists()
        assert acts_for(who, person) == by_rule


def test_tokens_open_for_living_owners_of_active_clients_alone(
    callers: list[Caller],
) -> None:
    assert [is_let_in(who) for who in callers] == [
        *(True, True, True, False),
        *(True, True, False),
    ]
    Client.objects.filter(pk=callers[0].client_id).update(active=False)
    Profile.objects.get(client_id=callers[5].client_id).delete()
    assert [is_let_in(who) for who in callers] == [*[False] * 4, True, False, False]
