"""Pages are cut from ranked windows: nobody is lost, shown twice, or shown too late."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from matching import cache, impressions, paging, spaces
from matching.features import WIDTH
from matching.models import Exposure, Taste
from matching.search import Page, Query, daily
from profiles import services
from profiles.models import Profile
from tests.conftest import MakePerson
from tests.matching.findable import index
from twinby.errors import InvalidError

PEOPLE = 11


@pytest.fixture
def crowd(make_person: MakePerson, monkeypatch: pytest.MonkeyPatch) -> list[Profile]:
    """More people than a window holds."""
    monkeypatch.setattr(paging, "WINDOW", 4)
    space = spaces.active_space()
    return [index(make_person(), space) for _ in range(PEOPLE)]


def ids(page: Page) -> list[uuid.UUID]:
    return [match.profile_id for match in page.matches]


def follow(viewer: Profile, query: Query) -> list[Page]:
    """All pages, each asked for with the cursor of the one before."""
    pages = [daily(viewer, query)]
    while cursor := pages[-1].next_cursor:
        pages.append(daily(viewer, replace(query, cursor=cursor)))
    return pages


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 20])
def test_windows_follow_each_other_without_gap_or_overlap(
    alice: Profile, crowd: list[Profile], limit: int
) -> None:
    pages = follow(alice, Query(limit=limit))
    found = [pk for page in pages for pk in ids(page)]
    assert len(found) == len(set(found))
    assert set(found) == {person.pk for person in crowd}
    assert all(len(page.matches) == limit for page in pages[:-1])


def test_the_best_come_in_the_first_window(
    alice: Profile, crowd: list[Profile]
) -> None:
    pages = follow(alice, Query(limit=4))
    liking = [[m.ranked.preference for m in page.matches] for page in pages]
    for one, following in pairwise(liking):
        assert min(one) >= max(following)


def test_who_leaves_between_two_pages_is_passed_over(
    alice: Profile, crowd: list[Profile]
) -> None:
    whole = ids(daily(alice, Query(limit=20)))
    first = daily(alice, Query(limit=2))
    gone = next(p for p in crowd if p.pk == whole[2])
    services.block_profile(gone)
    second = daily(alice, Query(limit=2, cursor=first.next_cursor or ""))
    assert ids(second) == [whole[3], whole[4]]


def test_a_page_that_was_ranked_before_tells_the_same_score(
    alice: Profile, crowd: list[Profile]
) -> None:
    for days, person in enumerate(crowd):
        active = timezone.now() - dt.timedelta(days=days)
        Profile.objects.filter(pk=person.pk).update(last_active_at=active)
    whole = daily(alice, Query(limit=4)).matches
    first = daily(alice, Query(limit=2))
    second = daily(alice, Query(limit=2, cursor=first.next_cursor or ""))
    scores = [m.ranked.score for m in (*first.matches, *second.matches)]
    assert scores == [m.ranked.score for m in whole]
    assert len({m.ranked.stages["recency"] for m in whole}) == 4
    unsaid = [m.ranked.unsaid for m in (*first.matches, *second.matches)]
    assert unsaid == [m.ranked.unsaid for m in whole]
    assert all(unsaid)


def test_a_cursor_whose_window_is_gone_is_too_old(
    alice: Profile, crowd: list[Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = daily(alice, Query(limit=2)).next_cursor or ""
    monkeypatch.setattr(cache, "kept", lambda *_: None)
    with pytest.raises(InvalidError, match="too old"):
        daily(alice, Query(limit=2, cursor=cursor))


def test_who_would_like_one_back_comes_first(
    alice: Profile, make_person: MakePerson
) -> None:
    space = spaces.active_space()
    index(alice, space)
    own = np.array(alice.vectors.get().vector)[:WIDTH]
    crowd = [index(make_person(), space) for _ in range(5)]
    fond, averse = crowd[1], crowd[3]
    for person, toward in ((fond, own), (averse, -own)):
        Taste.objects.create(
            profile=person,
            space=space,
            prior="cold",
            weights=toward.astype("<f4").tobytes(),
            credits=b"",
            labels=2,
            likes=1,
        )
    page = daily(alice, Query(limit=20))
    back = {m.profile_id: m.ranked.stages["reciprocity"] for m in page.matches}
    assert ids(page)[0] == fond.pk
    assert ids(page)[-1] == averse.pk
    assert back[fond.pk] == pytest.approx(own @ own, rel=1e-3)


def test_who_is_liked_a_lot_makes_room(
    alice: Profile, make_person: MakePerson, settings: Any
) -> None:
    settings.RANKING = {"reciprocity": 0, "recency": 0, "diversity": 0, "newcomers": 0}
    space = spaces.active_space()
    crowd = [index(make_person(), space) for _ in range(9)]
    first = ids(daily(alice, Query()))[0]
    Exposure.objects.create(
        profile_id=first,
        day=timezone.now().date(),
        impressions=900,
        expected_likes=700.0,
    )
    impressions.count()
    page = daily(alice, Query())
    assert ids(page)[-1] == first
    assert page.matches[-1].ranked.stages["exposure"] == pytest.approx(
        -1.75 * np.log(9 / 0.4)  # nine people's likes: nine times the mean
    )
    assert len(page.matches) == len(crowd)
