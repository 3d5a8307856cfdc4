"""Whom people were shown is logged, counted, kept for months, and erased with them."""

from __future__ import annotations

import datetime as dt
import json
import logging
import uuid
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from matching import impressions, partitions, spaces
from matching.impressions import Facts
from matching.models import Exposure, Impression, Space
from matching.search import Page, Query, daily
from matching.services.feedback import Event, record, undo
from profiles import privacy
from profiles import services as people
from profiles.models import Profile
from tests.conftest import MakePerson
from tests.matching.people import crowd, say

NOVEMBER = dt.date(2026, 11, 21)


@pytest.fixture
def shown(make_person: MakePerson) -> list[Profile]:
    return [person for person, _ in crowd(make_person() for _ in range(3))]


def look(viewer: Profile) -> Page:
    """A page, shown."""
    page = daily(viewer, Query(limit=10))
    impressions.log(viewer, page, source=Impression.Source.DAILY)
    return page


def row(viewer: Profile, person: Profile, **more: Any) -> Impression:
    """One impression as a page would log it."""
    facts = {
        "page_id": uuid.uuid4(),
        "source": Impression.Source.SEARCH,
        "rank": 1,
        "score": 0.0,
        "preference": 0.0,
        "match_score": 0.5,
        "propensity": 1.0,
        "space": "f-1",
        "prior": "cold",
        "method": "bayesian",
        "calibration": "",
        **more,
    }
    return Impression.objects.create(viewer=viewer, person=person, **facts)


def at(day: dt.date, hour: int = 12) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, tzinfo=dt.UTC)


def partition_of(impression: Impression) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM matching_impression WHERE id = %s",
            [impression.pk],
        )
        return str(cursor.fetchone()[0])


# Logged -------------------------------------------------------------------------------


def test_a_page_is_logged_with_all_that_explains_it(
    alice: Profile, shown: list[Profile], settings: Any
) -> None:
    settings.EXPERIMENT = "try/person: only=1"
    page = look(alice)
    logged = list(Impression.objects.order_by("rank"))
    assert {one.person for one in logged} == set(shown)
    assert [one.person_id for one in logged] == [m.profile_id for m in page.matches]
    assert [one.rank for one in logged] == [1, 2, 3]
    for one, match in zip(logged, page.matches, strict=True):
        assert (one.viewer, one.page_id, one.source) == (alice, page.id, "daily")
        assert one.score == match.ranked.score
        assert one.preference == match.ranked.preference
        assert one.match_score == match.ranked.match_score
        assert (one.space, one.prior) == (page.space.version, "cold")
        assert (one.method, one.calibration) == ("bayesian", "")
        assert (one.propensity, one.arm) == (1.0, "try:only")


def test_the_chance_of_a_place_drawn_by_lot_is_not_known(
    alice: Profile, shown: list[Profile], settings: Any
) -> None:
    settings.RANKING = {**settings.RANKING, "exploration": 1.0}
    look(alice)
    assert {one.propensity for one in Impression.objects.all()} == {None}


def test_a_page_is_logged_in_one_statement(
    alice: Profile, shown: list[Profile], django_assert_num_queries: Any
) -> None:
    page = daily(alice, Query(limit=10))
    with django_assert_num_queries(3):  # with the savepoint around it
        impressions.log(alice, page, source=Impression.Source.DAILY)


def test_an_empty_page_is_no_trouble(alice: Profile) -> None:
    look(alice)
    assert not Impression.objects.exists()


def test_a_log_that_fails_takes_no_answer_along_and_tells_nobodys_id(
    alice: Profile, shown: list[Profile], caplog: pytest.LogCaptureFixture
) -> None:
    page = daily(alice, Query(limit=10))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE matching_impression ADD CHECK (rank > 9)")
    with caplog.at_level(logging.WARNING):
        impressions.log(alice, page, source=Impression.Source.DAILY)
    assert not Impression.objects.exists()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "A page was not logged: IntegrityError"


# Months -------------------------------------------------------------------------------


def test_nothing_is_lost_before_its_month_is_made(
    alice: Profile, shown: list[Profile]
) -> None:
    one = row(alice, shown[0], shown_at=at(NOVEMBER))
    assert partition_of(one) == "matching_impression_default"
    made, _ = partitions.arrange(NOVEMBER, ahead=1, keep=3)
    assert made == ["matching_impression_2026_11", "matching_impression_2026_12"]
    assert partition_of(one) == "matching_impression_2026_11"
    two = row(alice, shown[0], shown_at=at(dt.date(2026, 12, 31), hour=23))
    assert partition_of(two) == "matching_impression_2026_12"
    assert partitions.arrange(NOVEMBER, ahead=1, keep=3) == ([], [])


def test_months_out_of_date_are_dropped_and_no_others(
    alice: Profile, shown: list[Profile]
) -> None:
    days = [NOVEMBER, dt.date(2026, 8, 1), dt.date(2026, 7, 31), dt.date(2024, 2, 29)]
    kept = [row(alice, shown[0], shown_at=at(day, hour=0)) for day in days][:2]
    _, dropped = partitions.arrange(NOVEMBER, ahead=0, keep=3)
    assert dropped == ["matching_impression_2024_02", "matching_impression_2026_07"]
    assert list(Impression.objects.order_by("pk")) == kept


def test_a_month_has_the_indexes_and_the_key_of_the_whole(db: None) -> None:
    (name,), _ = partitions.arrange(NOVEMBER, ahead=0, keep=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [name])
        indexes = " ".join(definition for (definition,) in cursor.fetchall())
    for columns in (
        "(id, shown_at)",
        "(viewer_id, ",
        "(person_id, ",
        "brin (shown_at)",
    ):
        assert columns in indexes


def test_the_command_makes_months_ahead_and_keeps_as_many_as_are_set(
    db: None, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.IMPRESSION_MONTHS = 1
    call_command("arrangeimpressions")
    told = json.loads(capsys.readouterr().out)
    assert len(told["made"]) == 1 + impressions.MONTHS_AHEAD
    assert told["dropped"] == []


# Counted ------------------------------------------------------------------------------


def test_facts_count_each_viewer_once_a_day(
    alice: Profile, shown: list[Profile], make_person: MakePerson
) -> None:
    bob, carol = make_person(), shown[0]
    today = timezone.now()
    yesterday = today - dt.timedelta(days=1)
    for viewer, chance, moment in [
        (alice, 0.5, today),
        (alice, 0.7, today),
        (bob, 0.2, today),
        (bob, 0.1, yesterday),
    ]:
        row(viewer, carol, match_score=chance, shown_at=moment)
    assert impressions.facts([carol.pk])[carol.pk] == Facts()  # not counted yet
    impressions.count()
    impressions.count()  # again changes nothing
    found = impressions.facts([carol.pk, alice.pk])
    assert found[carol.pk].impressions == 3
    assert found[carol.pk].expected_likes == pytest.approx((0.7 + 0.2 + 0.1) / 7)
    assert found[alice.pk] == Facts()


def test_likes_are_expected_of_the_last_week_and_days_long_past_are_forgotten(
    alice: Profile,
) -> None:
    today = timezone.now().date()
    for days in (0, 6, 7, 29, 30):
        day = today - dt.timedelta(days=days)
        Exposure.objects.create(
            profile=alice, day=day, impressions=1, expected_likes=0.7
        )
    impressions.count()
    facts = impressions.facts([alice.pk])[alice.pk]
    assert facts.impressions == 4
    assert facts.expected_likes == pytest.approx(0.2)


def test_facts_are_one_query_that_never_reads_the_log(
    alice: Profile, shown: list[Profile], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1) as asked:
        impressions.facts([person.pk for person in shown])
    assert "matching_impression" not in asked.captured_queries[0]["sql"]


def test_outcomes_are_what_was_said_last_on_the_page_that_showed_somebody(
    alice: Profile, shown: list[Profile]
) -> None:
    page = look(alice)
    first, second, third = (match.profile_id for match in page.matches)
    likes = [
        Event(uuid.uuid4(), kind, target, page_id)
        for kind, target, page_id in [
            ("pass", first, page.id),
            ("like", first, page.id),
            ("pass", second, page.id),
            ("like", third, None),  # who knows where
        ]
    ]
    record(alice, likes)
    began, space = timezone.now() - dt.timedelta(minutes=1), spaces.active_space()
    odds = [match.ranked.preference for match in page.matches]
    found = impressions.outcomes(space, since=began)
    mine = str(alice.pk)
    assert sorted(found) == sorted([(odds[0], True, mine), (odds[1], False, mine)])
    undo(alice, likes[2].event_id)
    assert impressions.outcomes(space, since=began) == [(odds[0], True, mine)]
    assert impressions.outcomes(space, since=timezone.now()) == []
    assert impressions.outcomes(Space(version="other"), since=began) == []


# Privacy ------------------------------------------------------------------------------


def test_an_erased_person_is_in_nobodys_log(
    alice: Profile, shown: list[Profile], make_person: MakePerson
) -> None:
    look(alice)
    look(shown[0])
    impressions.count()
    people.erase_profile(shown[0])
    assert not Impression.objects.filter(person=shown[0].pk).exists()
    assert not Impression.objects.filter(viewer=shown[0].pk).exists()
    assert not Exposure.objects.filter(profile=shown[0].pk).exists()
    assert Impression.objects.filter(viewer=alice).count() == 2


def test_what_was_logged_while_somebody_was_erased_goes_with_the_next_count(
    alice: Profile, shown: list[Profile]
) -> None:
    people.erase_profile(shown[0])
    row(alice, Profile(pk=shown[0].pk))
    row(Profile(pk=uuid.uuid4()), shown[1])
    kept = row(alice, shown[1])
    impressions.count()
    assert list(Impression.objects.all()) == [kept]


def test_an_export_tells_what_was_said_and_shown_and_no_weight(
    alice: Profile, shown: list[Profile]
) -> None:
    look(alice)
    say(alice, "like", shown[0])
    say(shown[0], "report", alice)
    exported = privacy.export(alice.pk)["matching"]
    assert len(exported["impressions"]) == 3
    assert [said["kind"] for said in exported["feedback"]] == ["like"]
    assert exported["tastes"][0]["labels"] == 1
    assert "weights" not in json.dumps(exported, default=str)
