"""What an operator types."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from profiles import services
from profiles.models import Client, Photo, Profile
from tests.conftest import MakePhoto


def printed(capsys: pytest.CaptureFixture[str], *command: Any) -> str:
    call_command(*command)
    return capsys.readouterr().out


def test_a_created_clients_secret_opens_the_door(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = json.loads(printed(capsys, "createclient", "my app"))
    client = services.authenticate_client(
        client_id=uuid.UUID(shown["client_id"]), secret=shown["client_secret"]
    )
    assert client == Client.objects.get(name="my app")
    with pytest.raises(CommandError, match="already exists"):
        call_command("createclient", "my app")


def test_an_export_holds_everything_and_no_vector(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = make_photo(alice)
    exported = json.loads(printed(capsys, "exportprofile", str(alice.pk)))
    assert exported.keys() >= {"profile", "annotation"}
    assert exported["profile"]["birth_date"] == alice.birth_date.isoformat()
    assert [shown["id"] for shown in exported["profile"]["photos"]] == [str(photo.pk)]
    assert "features" not in json.dumps(exported)


def test_an_erased_person_cannot_be_exported_nor_erased_again(alice: Profile) -> None:
    call_command("eraseprofile", str(alice.pk))
    assert not Profile.objects.exists()
    for command in ("exportprofile", "eraseprofile"):
        with pytest.raises(CommandError, match="no such person"):
            call_command(command, str(alice.pk))


def test_anchors_past_their_day_are_deleted_and_counted(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photo(alice)
    make_photo(alice, purpose=Photo.Purpose.ANCHOR)
    assert printed(capsys, "expireanchors") == "0\n"
    Photo.objects.filter(purpose="anchor").update(expires_at=timezone.now())
    assert printed(capsys, "expireanchors") == "1\n"
    assert Photo.objects.get().purpose == Photo.Purpose.PROFILE
