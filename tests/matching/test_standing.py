"""What ranks candidates beside how they look: in their order, and of who is left."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from matching import impressions, spaces, standing
from matching.features import WIDTH
from matching.models import Exposure, Feedback
from matching.selectors import Found
from profiles.models import Profile
from tests.conftest import MakePerson
from tests.matching.people import crowd, say

NOTHING = np.zeros(WIDTH)


@pytest.fixture
def shown(make_person: MakePerson) -> list[Profile]:
    return [person for person, _ in crowd(make_person() for _ in range(4))]


def found(people: list[Profile]) -> list[Found]:
    return [Found(person.pk, NOTHING, 0.0, is_exact=True) for person in people]


def test_days_are_whole_and_each_persons_own(
    alice: Profile, shown: list[Profile]
) -> None:
    now = timezone.now()
    for days, person in enumerate(shown):
        almost = now - dt.timedelta(days=days + 1) + dt.timedelta(minutes=5)
        Profile.objects.filter(pk=person.pk).update(
            last_active_at=almost, created_at=almost - dt.timedelta(days=10)
        )
    order = [shown[2], shown[0], shown[3], shown[1]]
    told = standing.candidates(alice, found(order), space=spaces.active_space())
    assert [one.id for one in told] == [str(person.pk) for person in order]
    assert [one.inactive_days for one in told] == [2, 0, 3, 1]
    assert [one.age_days for one in told] == [12, 10, 13, 11]


def test_whoever_is_gone_by_now_is_no_candidate(
    alice: Profile, shown: list[Profile]
) -> None:
    space, everybody = spaces.active_space(), found(shown)
    shown[1].delete()
    told = standing.candidates(alice, everybody, space=space)
    left = [shown[0], shown[2], shown[3]]
    assert [one.id for one in told] == [str(person.pk) for person in left]
    assert standing.candidates(alice, [], space=space) == []


def test_what_is_known_of_one_is_told_of_nobody_else(
    alice: Profile, shown: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    liker, popular, *_ = shown
    crowd_of_one = list(crowd([alice], first_seed=9))
    say(liker, Feedback.Kind.LIKE, popular)
    today = timezone.now().date()
    Exposure.objects.create(
        profile=popular, day=today, impressions=3, expected_likes=7.0
    )
    monkeypatch.setattr(impressions, "usual_likes", lambda: 0.5)
    told = standing.candidates(
        crowd_of_one[0][0], found(shown), space=spaces.active_space()
    )
    assert [one.liked_back is not None for one in told] == [True, False, False, False]
    assert [one.impressions for one in told] == [0, 3, 0, 0]
    assert [one.expected_likes for one in told] == [0, pytest.approx(2.0), 0, 0]


def test_however_many_are_asked_for_the_look_ups_are_as_many(
    alice: Profile, shown: list[Profile], django_assert_num_queries: Any
) -> None:
    list(crowd([alice], first_seed=9))
    space = spaces.active_space()
    with django_assert_num_queries(3):  # and vectors by a cursor of their own
        standing.candidates(alice, found(shown), space=space)
