"""Photos in an S3 bucket: a real HTTP server of moto's, and the settings of base."""

from __future__ import annotations

import runpy
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from django.core.files.uploadedfile import SimpleUploadedFile
from moto.server import ThreadedMotoServer
from rest_framework.test import APIClient

import twinby.settings
from profiles import services
from profiles.models import Photo, Profile
from tests.conftest import photo_bytes
from twinby.errors import UnavailableError

BUCKET = "twinby-photos"
BASE = Path(twinby.settings.__file__).with_name("base.py")
pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bucket, and storages as TWINBY_S3_… configure them."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TWINBY_S3_BUCKET": BUCKET,
        "TWINBY_S3_ENDPOINT": endpoint,
        "TWINBY_S3_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = runpy.run_path(str(BASE))["STORAGES"]
    s3 = boto3.resource("s3", endpoint_url=endpoint, region_name="eu-central-1")
    bucket = s3.create_bucket(
        Bucket=BUCKET,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


def names(bucket: Any) -> list[str]:
    return sorted(entry.key.rsplit("/")[-1] for entry in bucket.objects.all())


def test_a_photo_is_stored_encrypted_served_and_deleted(
    transactional_db: None, bucket: Any, api: APIClient, alice: Profile
) -> None:
    file = SimpleUploadedFile("photo.png", photo_bytes(1), "image/png")
    answer = api.post(f"/v1/people/{alice.pk}/photos", {"file": file})
    assert answer.status_code == 201
    assert names(bucket) == ["annotation.jpg", "display.webp"]
    for entry in bucket.objects.all():
        stored = entry.get()
        assert stored["ServerSideEncryption"] == "AES256"
        assert str(alice.pk) not in entry.key
    photo = api.get(f"/v1/photos/{answer.json()['id']}").json()
    picture = APIClient().get(photo["url"])
    assert picture.status_code == 200
    assert picture.content[:4] == b"RIFF"
    services.erase_profile(alice)
    assert names(bucket) == []


def test_a_bucket_that_is_not_there_leaves_no_row(
    db: None, bucket: Any, alice: Profile, settings: Any
) -> None:
    options = settings.STORAGES["default"]["OPTIONS"]
    wrong = {**options, "bucket_name": "elsewhere"}
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": wrong},
    }
    with pytest.raises(UnavailableError):
        services.add_photo(
            owner=alice, data=photo_bytes(1), purpose=Photo.Purpose.PROFILE
        )
    assert not Photo.objects.exists()


def test_a_picture_that_left_the_bucket_is_not_found(
    db: None, bucket: Any, api: APIClient, alice: Profile
) -> None:
    photo = services.add_photo(
        owner=alice, data=photo_bytes(1), purpose=Photo.Purpose.PROFILE
    )
    url = api.get(f"/v1/photos/{photo.pk}").json()["url"]
    bucket.objects.all().delete()
    assert APIClient().get(url).status_code == 404


def test_a_bucket_that_does_not_answer_is_given_up_soon(
    db: None, bucket: Any, alice: Profile, settings: Any
) -> None:
    """A server that takes the call and is silent, as a full or hung one is."""
    entry = settings.STORAGES["default"]
    config = entry["OPTIONS"]["client_config"]
    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(64)
        options = {
            **entry["OPTIONS"],
            "endpoint_url": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "client_config": config.merge(Config(read_timeout=0.2)),
        }
        settings.STORAGES = {
            **settings.STORAGES,
            "default": {**entry, "OPTIONS": options},
        }
        with pytest.raises(UnavailableError):
            services.add_photo(
                owner=alice, data=photo_bytes(1), purpose=Photo.Purpose.PROFILE
            )
        # To store the first rendition, then not to leave it behind: three tries each.
        assert calls_at(mute) == 6
    assert not Photo.objects.exists()


def calls_at(server: socket.socket) -> int:
    """How many calls wait to be taken."""
    server.settimeout(0)
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count
