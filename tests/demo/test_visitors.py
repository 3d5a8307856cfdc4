"""Visitors of the demo page: made when they bring photos, gone when those are gone."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone
from dramatiq_crontab import scheduler

from demo import CLIENT, tasks
from demo.visitors import expire_visitors, viewer_of, visitor_of
from profiles import services
from profiles.models import Client, Photo, Profile
from tests.conftest import MakePhoto

SECOND = dt.timedelta(seconds=1)
SOON = 1.0


@pytest.fixture
def client(db: None) -> Client:
    return services.create_client(CLIENT)[0]


@pytest.fixture
def visitor(client: Client) -> Profile:
    """Who once came with a photo."""
    return visitor_of(SessionStore())


def leave(visitor: Profile, settings: Any) -> dt.datetime:
    """The moment from which on a visitor without photos need not be kept."""
    lifetime: dt.timedelta = settings.ANCHOR_LIFETIME
    return visitor.last_active_at + lifetime


def test_a_session_keeps_its_visitor(client: Client) -> None:
    session = SessionStore()
    visitor = visitor_of(session)
    assert visitor_of(session) == viewer_of(session) == visitor
    assert visitor_of(SessionStore()) != visitor


def test_those_who_only_look_share_one_person(client: Client) -> None:
    first, second = SessionStore(), SessionStore()
    assert viewer_of(first) == viewer_of(second)
    assert client.profiles.count() == 1
    assert not first.modified


def test_the_first_two_who_look_at_once_share_one_person(
    transactional_db: None,
) -> None:
    client = services.create_client(CLIENT)[0]
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first = viewer_of(SessionStore())
            second = pool.submit(look)
            wait([second], timeout=SOON)  # it cannot see the first one yet
        assert second.result() == first
    assert client.profiles.count() == 1


def look() -> Profile:
    try:
        return viewer_of(SessionStore())
    finally:
        connection.close()


def test_a_visitor_goes_when_the_lifetime_of_anchors_is_over(
    visitor: Profile, settings: Any
) -> None:
    end = leave(visitor, settings)
    assert expire_visitors(now=end - SECOND) == 0
    assert expire_visitors(now=end) == 1
    assert not Profile.objects.filter(pk=visitor.pk).exists()


def test_a_visitor_stays_as_long_as_their_photos(
    visitor: Profile, settings: Any, make_photo: MakePhoto
) -> None:
    photo = make_photo(visitor, purpose=Photo.Purpose.ANCHOR)
    assert photo.expires_at is not None
    assert expire_visitors(now=leave(visitor, settings)) == 0
    services.expire_anchors(now=photo.expires_at)
    assert expire_visitors(now=photo.expires_at) == 1


def test_nobody_but_visitors_expires(client: Client, settings: Any) -> None:
    anybody = viewer_of(SessionStore())
    real = services.create_profile(
        client_id=client.pk,
        consent=True,
        birth_date=anybody.birth_date,
        gender="woman",
        seeking=["man"],
    )
    assert expire_visitors(now=leave(real, settings)) == 0
    assert set(client.profiles.all()) == {anybody, real}


def test_the_schedule_clears_visitors_and_sessions(
    visitor: Profile, settings: Any
) -> None:
    long_ago = timezone.now() - settings.ANCHOR_LIFETIME
    Profile.objects.update(last_active_at=long_ago)
    Session.objects.create(session_key="old", session_data="", expire_date=long_ago)
    assert "expire_visitors" in {job.name for job in scheduler.get_jobs()}
    tasks.expire_visitors()
    assert not Profile.objects.exists()
    assert not Session.objects.exists()
