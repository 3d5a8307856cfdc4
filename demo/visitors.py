"""Whose search the demo page makes: one synthetic person for each browser session."""

from __future__ import annotations

from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from demo import CLIENT
from profiles.models import ADULT_AGE, OLDEST_AGE, Client, Gender, Profile, years_before
from profiles.services import create_profile
from twinby.errors import NotFoundError

SESSION_KEY = "demo-visitor"
VISITOR_AGE = 30


def visitor_of(session: SessionBase) -> Profile:
    """The person of this session, made at the first visit, so that visitors never see
    each other's photos. Raises NotFoundError while there is no client called demo.
    """
    known = session.get(SESSION_KEY)
    if known and (visitor := _still_there(known)):
        return visitor
    visitor = _newcomer()
    session[SESSION_KEY] = str(visitor.pk)
    return visitor


def _still_there(profile_id: str) -> Profile | None:
    visitors = Profile.objects.filter(client__name=CLIENT, synthetic=True)
    return visitors.filter(pk=profile_id).first()


def _newcomer() -> Profile:
    """Open to everybody and without a photo: may find all, is found by nobody."""
    client = Client.objects.filter(name=CLIENT).first()
    if client is None:
        raise NotFoundError("The people of the demo are not here: try ./run demo.")
    return create_profile(
        client_id=client.pk,
        consent=True,
        synthetic=True,
        birth_date=years_before(timezone.localdate(), VISITOR_AGE),
        gender=Gender.NONBINARY,
        seeking=list(Gender),
        sought_age_min=ADULT_AGE,
        sought_age_max=OLDEST_AGE,
        about="A visitor of the demo page.",
    )
