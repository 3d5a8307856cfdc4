"""What can be done with clients, people and photos. Services own the transactions."""

from __future__ import annotations

from profiles.services.blocks import avoid, stop_avoiding
from profiles.services.clients import (
    CredentialsError,
    authenticate_client,
    create_client,
    set_client_secret,
)
from profiles.services.people import (
    block_profile,
    create_profile,
    erase_profile,
    unblock_profile,
    update_profile,
)
from profiles.services.photos import (
    PhotoError,
    add_photo,
    approve,
    approve_by_gates,
    delete_photo,
    expire_anchors,
    quarantine,
    reject,
)

__all__ = [
    "CredentialsError",
    "PhotoError",
    "add_photo",
    "approve",
    "approve_by_gates",
    "authenticate_client",
    "avoid",
    "block_profile",
    "create_client",
    "create_profile",
    "delete_photo",
    "erase_profile",
    "expire_anchors",
    "quarantine",
    "reject",
    "set_client_secret",
    "stop_avoiding",
    "unblock_profile",
    "update_profile",
]
