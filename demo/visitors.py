"""Whose search the demo page makes: anybody's, until a session brings own photos."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from demo import CLIENT
from profiles.models import ADULT_AGE, OLDEST_AGE, Client, Gender, Profile, years_before
from profiles.services import create_profile, erase_profile
from twinby.errors import NotFoundError

SESSION_KEY = "demo-visitor"
VISITOR_AGE = 30
VISITOR = "A visitor of the demo page."
ANYBODY = "Anybody who visits the demo page and has not brought a photo."


def viewer_of(session: SessionBase) -> Profile:
    """Who looks: the person of this session, else the one whom all others share.

    Looking leaves no trace, however many look. Raises NotFoundError while there is no
    client called demo.
    """
    return _own(session) or _people(ANYBODY).first() or _make_anybody()


def visitor_of(session: SessionBase) -> Profile:
    """The person of this session, made when needed, so that visitors never see each
    other's photos. Raises NotFoundError while there is no client called demo.
    """
    known = _own(session)
    if known is not None:
        return known
    visitor = _create(_client(Client.objects.all()), VISITOR)
    session[SESSION_KEY] = str(visitor.pk)
    return visitor


def expire_visitors(*, now: dt.datetime | None = None) -> int:
    """Erase whoever came that long ago and has no photo left; returns how many."""
    horizon = (now or timezone.now()) - settings.ANCHOR_LIFETIME
    due = list(_people(VISITOR).filter(photos=None, last_active_at__lte=horizon))
    for visitor in due:
        erase_profile(visitor)
    return len(due)


def _people(about: str) -> QuerySet[Profile]:
    return Profile.objects.filter(client__name=CLIENT, synthetic=True, about=about)


def _own(session: SessionBase) -> Profile | None:
    known = session.get(SESSION_KEY)
    return _people(VISITOR).filter(pk=known).first() if known else None


@transaction.atomic
def _make_anybody() -> Profile:
    """Once: whoever comes in the same moment waits for the client's lock."""
    client = _client(Client.objects.select_for_update())
    return _people(ANYBODY).first() or _create(client, ANYBODY)


def _client(clients: QuerySet[Client]) -> Client:
    client = clients.filter(name=CLIENT).first()
    if client is None:
        raise NotFoundError("The people of the demo are not here: try ./run demo.")
    return client


def _create(client: Client, about: str) -> Profile:
    """Open to everybody and without a photo: may find all, is found by nobody."""
    return create_profile(
        client_id=client.pk,
        consent=True,
        synthetic=True,
        birth_date=years_before(timezone.localdate(), VISITOR_AGE),
        gender=Gender.NONBINARY,
        seeking=list(Gender),
        sought_age_min=ADULT_AGE,
        sought_age_max=OLDEST_AGE,
        about=about,
    )
