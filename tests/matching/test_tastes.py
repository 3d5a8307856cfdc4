"""What feedback teaches: at once, exactly what stands, in one space."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from matching import labels, priors, spaces, tastes
from matching.evaluation.prior_worth import Worth
from matching.features import WIDTH, FloatArray
from matching.models import Feedback, PersonVector, Space, Taste
from matching.preference import BayesianPreference
from matching.preference.labels import WEIGHTS, LabelKind
from matching.services.feedback import record, undo
from profiles import services as people
from profiles.models import Profile
from tests.conftest import MakePerson
from tests.matching.people import crowd, event, random_features, say, showing
from tests.matching.readings import random_space
from tests.matching.test_preference import random_prior

Kind = Feedback.Kind
Shown = list[tuple[Profile, FloatArray]]


@pytest.fixture
def shown(make_person: MakePerson) -> Shown:
    """Six people who may be found, and what is stored of them."""
    people = list(crowd(make_person() for _ in range(6)))
    return [(person, stored(person)) for person, _ in people]


def stored(person: Profile) -> FloatArray:
    told = PersonVector.objects.get(profile=person).vector  # in decimals, rounded
    return np.asarray(told[:WIDTH], dtype=np.float16).astype(np.float64)


def taste_of(person: Profile) -> FloatArray:
    kept = Taste.objects.get(profile=person, space=spaces.active_space())
    return np.frombuffer(kept.weights, dtype="<f4").astype(np.float64)


def credits_of(person: Profile) -> bytes:
    return bytes(Taste.objects.get(profile=person).credits)


def test_a_like_teaches_at_once_what_a_fit_on_the_stored_features_says(
    alice: Profile, shown: Shown
) -> None:
    kinds = [Kind.LIKE, Kind.PASS, Kind.SUPER_LIKE]
    for kind, (person, _) in zip(kinds, shown, strict=False):
        say(alice, kind, person)
    expected = BayesianPreference.fit(
        np.array([features for _, features in shown[:3]]),
        liked=[True, False, True],
        example_weights=[WEIGHTS[LabelKind(kind)] for kind in kinds],
    )
    np.testing.assert_allclose(taste_of(alice), expected.weights, atol=1e-6)
    learned = tastes.learned(alice, spaces.active_space())
    assert (learned.weights == expected.weights).all()
    assert Taste.objects.get().labels == 3


def test_reports_messages_blocks_and_unmatches_teach_nothing(
    alice: Profile, shown: Shown
) -> None:
    for kind in (Kind.REPORT, Kind.MESSAGE, Kind.BLOCK, Kind.UNMATCH):
        say(alice, kind, shown[0][0])
    assert not Taste.objects.exists()


def test_the_last_word_on_a_person_counts(alice: Profile, shown: Shown) -> None:
    person = shown[0][0]
    say(alice, Kind.PASS, person)
    before = taste_of(alice)
    say(alice, Kind.LIKE, person)
    assert Taste.objects.get().labels == 1
    assert taste_of(alice) @ shown[0][1] > 0 > before @ shown[0][1]


def test_what_is_undone_leaves_bitwise_what_is_learned_without_it(
    alice: Profile, make_person: MakePerson, shown: Shown
) -> None:
    mistake = event(Kind.SUPER_LIKE, shown[2][0])
    record(alice, [event(Kind.LIKE, shown[0][0]), event(Kind.PASS, shown[1][0])])
    record(alice, [mistake])
    spoilt = taste_of(alice)
    undo(alice, mistake.event_id)
    assert (taste_of(alice) != spoilt).any()
    other = make_person()
    record(other, [event(Kind.LIKE, shown[0][0]), event(Kind.PASS, shown[1][0])])
    assert (taste_of(alice) == taste_of(other)).all()
    fresh = tastes.learned(other, spaces.active_space())
    mine = np.frombuffer(credits_of(alice), tastes.CREDITS)["credit"]
    assert (mine == fresh.credits).all()


def test_undoing_the_only_label_leaves_no_taste(alice: Profile, shown: Shown) -> None:
    like = event(Kind.LIKE, shown[0][0])
    record(alice, [like])
    undo(alice, like.event_id)
    assert not Taste.objects.exists()


def test_a_warm_start_changes_nothing_but_the_time(
    alice: Profile, shown: Shown
) -> None:
    for number, (person, _) in enumerate(shown):
        say(alice, Kind.LIKE if number % 2 else Kind.PASS, person)
    cold = tastes.learned(alice, spaces.active_space())
    kept = np.frombuffer(credits_of(alice), tastes.CREDITS)["credit"]
    np.testing.assert_allclose(kept, cold.credits, atol=1e-9)


def test_people_that_vanished_teach_no_more(alice: Profile, shown: Shown) -> None:
    for person, _ in shown[:3]:
        say(alice, Kind.LIKE, person)
    people.erase_profile(shown[0][0])
    PersonVector.objects.filter(profile=shown[1][0]).delete()
    taught = labels.of(alice, spaces.active_space())
    assert taught.kinds == ("like",)
    assert (taught.examples[0] == shown[2][1]).all()


def test_old_labels_count_less_by_whole_days(alice: Profile, shown: Shown) -> None:
    for person, _ in shown[:2]:
        say(alice, Kind.LIKE, person)
    year_ago = timezone.now() - dt.timedelta(days=365)
    Feedback.objects.filter(target=shown[0][0]).update(created_at=year_ago)
    taught = labels.of(alice, spaces.active_space())
    assert taught.weights.tolist() == [pytest.approx(0.5), 1.0]


def test_the_latest_labels_are_learned_from_and_no_more(
    alice: Profile, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MAX_LABELS", 2)
    for person, _ in shown[:4]:
        say(alice, Kind.LIKE, person)
    taught = labels.of(alice, spaces.active_space())
    assert (taught.examples == np.array([f for _, f in shown[2:4]])).all()


def test_a_moment_that_is_past_is_remembered(alice: Profile, shown: Shown) -> None:
    say(alice, Kind.LIKE, shown[0][0])
    until = labels.latest(alice)
    before = tastes.learned(alice, spaces.active_space()).weights
    say(alice, Kind.PASS, shown[1][0])
    now = tastes.learned(alice, spaces.active_space())
    then = tastes.learned(alice, spaces.active_space(), until=until)
    assert len(now.liked) == 2
    assert (then.weights == before).all()


def test_the_latest_label_is_the_last_that_stands(alice: Profile, shown: Shown) -> None:
    assert labels.latest(alice) == 0
    said = [event(Kind.LIKE, person) for person, _ in shown[:3]]
    for one in [*said, event(Kind.MESSAGE, shown[3][0])]:
        record(alice, [one])
    say(shown[0][0], Kind.LIKE, alice)  # somebody else's
    assert labels.latest(alice) == Feedback.objects.get(event_id=said[2].event_id).pk
    undo(alice, said[2].event_id)
    assert labels.latest(alice) == Feedback.objects.get(event_id=said[1].event_id).pk
    assert labels.latest(alice) == labels.standing(alice).latest("pk").pk
    tastes.reset(alice)
    assert labels.latest(alice) == 0


def test_to_learn_takes_five_statements_however_much_was_said(
    alice: Profile, shown: Shown, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for person, _ in shown:
        say(alice, Kind.LIKE, person)
        with django_assert_num_queries(4):  # and vectors by a cursor of their own
            tastes.relearn(alice)


def test_a_reset_forgets_what_was_said_until_then_and_nothing_else(
    alice: Profile, shown: Shown
) -> None:
    (bob, _), (carol, features) = shown[:2]
    say(bob, Kind.LIKE, alice)
    assert say(alice, Kind.LIKE, bob).matched
    tastes.reset(alice)
    assert not Taste.objects.filter(profile=alice).exists()
    assert alice.matches_as_first.exists() or alice.matches_as_second.exists()
    say(alice, Kind.LIKE, carol)
    taught = labels.of(alice, spaces.active_space())
    assert (taught.examples == features).all()


def test_who_likes_many_is_likelier_to_like_one_back(
    alice: Profile, shown: Shown, django_assert_num_queries: Callable[[int], Any]
) -> None:
    (bob, _), (carol, features) = shown[:2]
    say(alice, Kind.LIKE, carol)
    say(bob, Kind.PASS, carol)
    space = spaces.active_space()
    with django_assert_num_queries(1):
        found = tastes.liking(
            [alice.pk, bob.pk, carol.pk, uuid.uuid4()], features, space
        )
    # One of two labels is a like: five more such labels are added to each one's own.
    assert found == {
        alice.pk: pytest.approx(taste_of(alice) @ features + math.log(3.5 / 2.5)),
        bob.pk: pytest.approx(taste_of(bob) @ features + math.log(2.5 / 3.5)),
    }


# Spaces -------------------------------------------------------------------------------


def test_a_new_space_gets_tastes_of_its_own_and_the_others_go(
    alice: Profile, shown: Shown, broker: Any, django_capture_on_commit_callbacks: Any
) -> None:
    say(alice, Kind.LIKE, shown[0][0])
    old = spaces.active_space()
    before = taste_of(alice)
    with django_capture_on_commit_callbacks(execute=True):
        content = random_space(1)
        new = Space.objects.create(version=content.version, content=content.to_dict())
        spaces.activate(new)
    assert len(broker.queues["housekeeping"].queue) == 1
    for seed, (person, _) in enumerate(shown):
        showing(person, random_features(100 + seed))
    assert not Taste.objects.filter(space=new).exists()
    assert len(tastes.learned(alice, new).liked) == 1  # on demand until then
    assert tastes.sweep(limit=10) == 1
    assert not Taste.objects.filter(space=old).exists()
    assert (taste_of(alice) != before).any()
    assert tastes.sweep(limit=10) == 0


def test_what_has_grown_old_is_learned_anew(alice: Profile, shown: Shown) -> None:
    for person, _ in shown[:2]:
        say(alice, Kind.LIKE, person)
    people.erase_profile(shown[0][0])
    assert tastes.sweep(limit=10) == 0
    Taste.objects.update(updated_at=timezone.now() - 2 * tastes.FRESH)
    assert tastes.sweep(limit=10) == 1
    assert Taste.objects.get().labels == 1


# Pure ---------------------------------------------------------------------------------


def random_taste(seed: int, count: int) -> BayesianPreference:
    rng = np.random.default_rng(seed)
    examples = np.array([random_features(seed + i) for i in range(count)])
    return BayesianPreference.fit(
        examples.reshape(-1, WIDTH), liked=rng.random(count) < 0.5
    )


@given(st.integers(0, 2**20), st.integers(0, 12))
def test_two_examples_stand_for_all_of_them(seed: int, count: int) -> None:
    taste = random_taste(seed, count)
    two = tastes.in_two(taste)
    np.testing.assert_allclose(two.weights, taste.weights, atol=1e-12)
    assert two.examples.shape == (2, WIDTH)


def test_whoever_wishes_nothing_gets_a_lot_of_their_own_too_small_to_tell(
    make_person: MakePerson,
) -> None:
    nothing = random_taste(0, 0)
    alice, bob = make_person(), make_person()
    lots = [tastes.in_order(nothing, person) for person in (alice, alice, bob)]
    assert (lots[0].weights == lots[1].weights).all()
    assert (lots[0].weights != lots[2].weights).any()
    assert np.abs(lots[0].score(np.array([random_features(1)]))).max() < 1e-3
    wishing = random_taste(1, 3)
    assert tastes.in_order(wishing, alice) is wishing


def test_photos_count_more_than_what_feedback_taught() -> None:
    taste = random_taste(3, 8)
    prior = tastes.beside_photos(taste)
    np.testing.assert_allclose(
        prior.mean, tastes.BESIDE_PHOTOS * taste.learned_weights, atol=1e-12
    )
    assert prior.version != taste.prior.version
    assert (prior.variance == taste.prior.variance).all()
    nothing = random_taste(3, 0)
    assert tastes.beside_photos(nothing) is nothing.prior


def test_a_taste_begins_from_the_prior_of_whom_one_seeks(
    alice: Profile, shown: Shown
) -> None:
    space, prior = spaces.active_space(), random_prior(np.random.default_rng(0))
    row = priors.keep(
        prior,
        space=space,
        seeking=priors.seeking_key(alice.seeking),
        raters=9,
        worth=Worth(tests=9, auc=0.7, plain_auc=0.6, low=0.05, high=0.15),
    )
    priors.activate(row)
    assert tastes.learned(alice, space).prior.version == prior.version
    say(alice, Kind.LIKE, shown[0][0])
    assert Taste.objects.get().prior == prior.version
