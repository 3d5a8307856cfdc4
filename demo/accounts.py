"""The demo's API client and its moderator; their secrets stay in the state folder."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from demo import CLIENT
from profiles import services
from profiles.models import Client
from twinby.embedded.state import State
from twinby.env import env_text

MODERATOR = "admin"


@dataclass(frozen=True)
class Credentials:
    """What a dating app's backend knows of itself."""

    client_id: uuid.UUID
    secret: str


def state() -> State:
    """The folder, of mode 0700, that ./run keeps for this clone."""
    return State(Path(env_text("TWINBY_STATE", str(settings.ROOT / ".twinby"))))


def client() -> Client:
    """The client that owns the demo's people, made when needed."""
    known = Client.objects.filter(name=CLIENT).first()
    return known or services.create_client(CLIENT)[0]


def credentials() -> Credentials:
    """The demo client's id and secret, which lies in a file of mode 0600."""
    mine, secret = client(), state().secret("demo_client.secret")
    services.set_client_secret(mine, secret)
    return Credentials(mine.pk, secret)


def moderator() -> tuple[str, str]:
    """Name and password of a superuser; the password lies in a file of mode 0600."""
    password = state().secret("admin.password")
    user, _ = User.objects.get_or_create(username=MODERATOR)
    if not (user.is_superuser and user.check_password(password)):
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.save()
    return user.username, password
