"""What people say of each other counts once, in its order, and can be undone."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from matching.models import Feedback, Match, Taste
from matching.services.feedback import Outcome, record, undo
from matching.signals import people_matched
from profiles import services as people
from profiles.models import Profile
from tests.conftest import MakePerson
from tests.matching.people import crowd, event, random_features, say, showing
from twinby.errors import ConflictError, InvalidError, NotFoundError

Kind = Feedback.Kind


@pytest.fixture
def bob(make_person: MakePerson) -> Profile:
    return make_person()


@pytest.fixture
def carol(make_person: MakePerson) -> Profile:
    return make_person()


@pytest.fixture
def told() -> Iterator[list[set[uuid.UUID]]]:
    """The pairs of whom it was told that they matched."""
    pairs: list[set[uuid.UUID]] = []

    def hear(*, profile_ids: tuple[uuid.UUID, uuid.UUID], **_: Any) -> None:
        pairs.append(set(profile_ids))

    people_matched.connect(hear)
    yield pairs
    people_matched.disconnect(hear)


def standing() -> list[Match]:
    return list(Match.objects.filter(ended_at=None))


# Once ---------------------------------------------------------------------------------


def test_the_same_event_again_gets_the_same_answer_and_counts_once(
    alice: Profile, bob: Profile
) -> None:
    say(bob, Kind.LIKE, alice)
    like = event(Kind.LIKE, bob)
    first = record(alice, [like])
    assert first == [Outcome(like.event_id, recorded=True, matched=True)]
    say(bob, Kind.UNMATCH, alice)
    assert record(alice, [like]) == first
    assert Feedback.objects.filter(actor=alice).count() == 1
    assert standing() == []


def test_an_id_that_was_used_for_something_else_is_refused_and_nothing_kept(
    alice: Profile, bob: Profile, carol: Profile
) -> None:
    like = event(Kind.LIKE, bob)
    record(alice, [like])
    reused = event(Kind.PASS, bob, event_id=like.event_id)
    with pytest.raises(ConflictError) as refused:
        record(alice, [event(Kind.LIKE, carol), reused])
    assert refused.value.problem_kind == "event-conflict"
    assert refused.value.extra == {"event_ids": [str(like.event_id)]}
    assert Feedback.objects.count() == 1


def test_an_id_that_means_two_things_in_one_batch_is_refused(
    alice: Profile, bob: Profile
) -> None:
    like = event(Kind.LIKE, bob)
    with pytest.raises(ConflictError):
        record(alice, [like, event(Kind.PASS, bob, event_id=like.event_id)])
    assert len(record(alice, [like, like])) == 2
    assert Feedback.objects.count() == 1


def test_two_people_may_use_the_same_id(alice: Profile, bob: Profile) -> None:
    like = event(Kind.LIKE, bob)
    record(alice, [like])
    record(bob, [event(Kind.LIKE, alice, event_id=like.event_id)])
    assert Feedback.objects.count() == 2


def test_people_that_are_gone_or_of_another_app_are_passed_over(
    alice: Profile, bob: Profile, carol: Profile, make_person: MakePerson
) -> None:
    gone = event(Kind.LIKE, bob)
    people.erase_profile(bob)
    other_app = people.create_client("other")[0]
    stranger = event(Kind.LIKE, make_person(client_id=other_app.pk))
    like = event(Kind.LIKE, carol)
    outcomes = record(alice, [gone, stranger, like])
    assert [outcome.recorded for outcome in outcomes] == [False, False, True]
    assert Feedback.objects.get().target == carol


def test_nobody_gives_feedback_on_themselves(alice: Profile) -> None:
    with pytest.raises(InvalidError):
        say(alice, Kind.LIKE, alice)
    with pytest.raises(IntegrityError, match="somebody_else"), transaction.atomic():
        Feedback.objects.create(
            actor=alice, target=alice, event_id=uuid.uuid4(), kind=Kind.LIKE
        )


# Matches ------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [Kind.LIKE, Kind.SUPER_LIKE])
def test_two_who_like_each_other_match_and_it_is_told_once(
    alice: Profile, bob: Profile, told: list[set[uuid.UUID]], second: Kind
) -> None:
    assert not say(alice, Kind.LIKE, bob).matched
    assert standing() == []
    assert say(bob, second, alice).matched
    assert not say(alice, Kind.SUPER_LIKE, bob).matched
    (match,) = standing()
    assert {match.first_id, match.second_id} == {alice.pk, bob.pk}
    assert told == [{alice.pk, bob.pk}]


def test_a_pass_is_no_like(alice: Profile, bob: Profile) -> None:
    say(alice, Kind.PASS, bob)
    assert not say(bob, Kind.LIKE, alice).matched
    assert standing() == []


@pytest.mark.parametrize("end", [Kind.UNMATCH, Kind.BLOCK, Kind.PASS])
def test_whoever_wants_no_more_ends_the_match_and_the_other_cannot_bring_it_back(
    alice: Profile, bob: Profile, told: list[set[uuid.UUID]], end: Kind
) -> None:
    say(alice, Kind.LIKE, bob)
    say(bob, Kind.LIKE, alice)
    say(bob, end, alice)
    say(alice, Kind.SUPER_LIKE, bob)
    match = Match.objects.get()
    assert match.ended_at == match.changed_at
    assert len(told) == 1


def test_a_message_or_a_report_ends_nothing(alice: Profile, bob: Profile) -> None:
    say(alice, Kind.LIKE, bob)
    say(bob, Kind.LIKE, alice)
    say(bob, Kind.MESSAGE, alice)
    say(bob, Kind.REPORT, alice)
    assert len(standing()) == 1


def test_the_last_word_of_a_batch_counts(alice: Profile, bob: Profile) -> None:
    say(bob, Kind.LIKE, alice)
    like, unlike = event(Kind.LIKE, bob), event(Kind.PASS, bob)
    assert not any(outcome.matched for outcome in record(alice, [like, unlike]))
    assert standing() == []


def test_who_liked_again_after_an_unmatch_matches_in_the_same_row(
    alice: Profile, bob: Profile, told: list[set[uuid.UUID]]
) -> None:
    say(alice, Kind.LIKE, bob)
    say(bob, Kind.LIKE, alice)
    before = Match.objects.get()
    say(alice, Kind.UNMATCH, bob)
    say(alice, Kind.LIKE, bob)
    (match,) = standing()
    assert match.pk == before.pk
    assert match.created_at > before.created_at
    assert len(told) == 2


def test_the_database_keeps_one_row_per_pair(alice: Profile, bob: Profile) -> None:
    first, second = sorted([alice.pk, bob.pk])
    Match.objects.create(first_id=first, second_id=second)
    with pytest.raises(IntegrityError, match="once_per_pair"), transaction.atomic():
        Match.objects.create(first_id=first, second_id=second)
    with pytest.raises(IntegrityError, match="smaller_id"), transaction.atomic():
        Match.objects.create(first_id=second, second_id=first)


# Blocks -------------------------------------------------------------------------------


def test_a_block_hides_both_from_each_other_until_it_is_undone(
    alice: Profile, bob: Profile
) -> None:
    for person in (alice, bob):
        showing(person, random_features(1))
    block = event(Kind.BLOCK, bob)
    record(alice, [block])
    assert not Profile.objects.visible_to(alice).filter(pk=bob.pk).exists()
    assert not Profile.objects.visible_to(bob).filter(pk=alice.pk).exists()
    undo(alice, block.event_id)
    assert Profile.objects.visible_to(alice).filter(pk=bob.pk).exists()
    assert Profile.objects.visible_to(bob).filter(pk=alice.pk).exists()


def test_undoing_one_of_two_blocks_lifts_neither(alice: Profile, bob: Profile) -> None:
    first, second = event(Kind.BLOCK, bob), event(Kind.BLOCK, bob)
    record(alice, [first])
    record(alice, [second])
    say(bob, Kind.BLOCK, alice)
    undo(alice, first.event_id)
    assert list(alice.avoided.all()) == [bob]
    undo(alice, second.event_id)
    assert not alice.avoided.exists()
    assert list(bob.avoided.all()) == [alice]


# Undo ---------------------------------------------------------------------------------


def test_undoing_a_like_ends_the_match_it_made(alice: Profile, bob: Profile) -> None:
    say(bob, Kind.LIKE, alice)
    like = event(Kind.LIKE, bob)
    record(alice, [like])
    undo(alice, like.event_id)
    assert standing() == []
    undo(alice, like.event_id)  # twice does no harm
    assert record(alice, [like])[0].matched  # the same answer, and it stays undone
    assert standing() == []


def test_undoing_an_unmatch_brings_the_match_back(alice: Profile, bob: Profile) -> None:
    say(alice, Kind.LIKE, bob)
    say(bob, Kind.LIKE, alice)
    end = event(Kind.UNMATCH, bob)
    record(alice, [end])
    undo(alice, end.event_id)
    assert len(standing()) == 1


def test_nobody_undoes_what_they_never_said(alice: Profile, bob: Profile) -> None:
    like = event(Kind.LIKE, alice)
    record(bob, [like])
    with pytest.raises(NotFoundError):
        undo(alice, like.event_id)
    assert Feedback.objects.get().withdrawn_at is None


def test_all_of_it_goes_with_either_of_the_two(alice: Profile, bob: Profile) -> None:
    showing(alice, random_features(1))
    say(alice, Kind.LIKE, bob)
    say(bob, Kind.LIKE, alice)
    say(bob, Kind.BLOCK, alice)
    people.erase_profile(alice)
    assert not Feedback.objects.exists()
    assert not Match.objects.exists()
    assert not bob.avoided.exists()


# At once ------------------------------------------------------------------------------


def at_once(*calls: Any) -> None:
    """Each call in a thread of its own, with a connection of its own."""
    barrier, failures = threading.Barrier(len(calls)), []

    def run(call: Any) -> None:
        try:
            barrier.wait(timeout=10)
            call()
        except Exception as error:  # noqa: BLE001 - it is raised below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []


@pytest.mark.django_db(transaction=True)
def test_two_who_like_each_other_at_the_same_moment_match(
    alice: Profile, make_person: MakePerson
) -> None:
    for _ in range(3):
        bob = make_person()
        at_once(
            lambda bob=bob: say(alice, Kind.LIKE, bob),
            lambda bob=bob: say(bob, Kind.LIKE, alice),
        )
        assert Match.objects.filter(ended_at=None).count() == 1
        Match.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_no_like_of_many_at_once_is_lost_to_the_taste(
    alice: Profile, make_person: MakePerson
) -> None:
    liked = [person for person, _ in crowd(make_person() for _ in range(4))]
    at_once(*[lambda p=person: say(alice, Kind.LIKE, p) for person in liked])
    assert Taste.objects.get(profile=alice).labels == 4


@pytest.mark.django_db(transaction=True)
def test_the_same_event_twice_at_once_is_kept_once(
    alice: Profile, make_person: MakePerson
) -> None:
    like = event(Kind.LIKE, make_person())
    at_once(lambda: record(alice, [like]), lambda: record(alice, [like]))
    assert Feedback.objects.count() == 1
