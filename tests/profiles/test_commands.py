"""What an operator types."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Model
from django.utils import timezone

from profiles import privacy, services
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


NOT_A_FACT = {"client", "owner", "display", "annotation"}  # see below


def columns(model: type[Model]) -> set[str]:
    return {field.name for field in model._meta.get_fields() if field.concrete}


def test_an_export_leaves_out_no_column_and_no_moderators_reason(
    alice: Profile, admin_user: User, make_photo: MakePhoto
) -> None:
    """But file names, which are the photo's id, and whose the rows are, said by id."""
    photo = make_photo(alice)
    services.reject(photo.pk, reason="blurred")
    LogEntry.objects.log_actions(
        admin_user.pk, [photo], CHANGE, "reject: blurred", single_object=True
    )
    exported = privacy.export_profile(alice.pk)
    shown = exported["photos"][0]
    assert exported.keys() >= columns(Profile) - NOT_A_FACT
    assert shown.keys() >= columns(Photo) - NOT_A_FACT
    assert exported["client_id"] == alice.client_id
    assert (shown["status_reason"], shown["sha256"]) == ("blurred", photo.sha256)
    assert re.fullmatch("[01]{64}", shown["dhash"])
    (entry,) = exported["moderation"]
    assert entry["object_id"] == str(photo.pk)
    assert entry["change_message"] == "reject: blurred"


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
