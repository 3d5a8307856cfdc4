"""Clients and their secrets."""

from __future__ import annotations

import hashlib
import secrets
import uuid

from django.utils.crypto import constant_time_compare

from profiles.models import Client
from twinby.errors import DomainError

SECRET_BYTES = 32


class CredentialsError(DomainError):
    """Unknown client, or not its secret: which of the two is not said."""

    status = 401
    kind = "invalid-credentials"


def create_client(name: str) -> tuple[Client, str]:
    """A new client and its secret, which is shown once and stored only as a hash."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    client = Client(name=name, secret_hash=_digest(secret))
    client.full_clean()
    client.save()
    return client, secret


def set_client_secret(client: Client, secret: str) -> None:
    """Give a client another secret: at least 32 random bytes, never a password."""
    client.secret_hash = _digest(secret)
    client.save(update_fields=["secret_hash"])


def authenticate_client(*, client_id: uuid.UUID, secret: str) -> Client:
    """The active client with this secret; CredentialsError otherwise."""
    client = Client.objects.filter(pk=client_id, active=True).first()
    # An unknown client costs as much time as a wrong secret: nothing can be probed.
    known = constant_time_compare(
        _digest(secret), client.secret_hash if client else _digest("")
    )
    if client is None or not known:
        raise CredentialsError("The client id or its secret is wrong.")
    return client


def _digest(secret: str) -> str:
    """A plain hash: nobody guesses 256 random bits, and a slow one (0.3 s of CPU a
    token) would let anybody keep the servers busy."""
    return hashlib.sha256(secret.encode()).hexdigest()
