"""The cast and the parts that tests share: a client, people, photos, a real worker."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import numpy as np
import pytest
from dramatiq import Broker, Worker
from PIL import Image
from rest_framework.test import APIClient

from profiles import services
from profiles.models import Client, Gender, Photo, Profile
from twinby.rest.callers import Caller, issue_token

PHOTO_SIDE = 96


def photo_bytes(seed: int = 0) -> bytes:
    """A small PNG of coloured blocks, another for every seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    side = (PHOTO_SIDE, PHOTO_SIDE)
    image = Image.fromarray(blocks).resize(side, Image.Resampling.NEAREST)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    """Photos of a test live in its own folder."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": settings.MEDIA_ROOT},
        },
    }
    return tmp_path / "media"


@pytest.fixture
def client_app(db: None) -> Client:
    """The dating app's backend."""
    return services.create_client("app")[0]


MakePerson = Callable[..., Profile]


@pytest.fixture
def make_person(client_app: Client) -> MakePerson:
    """A consenting woman of thirty who seeks women, unless told otherwise."""

    def make(**fields: Any) -> Profile:
        declared: dict[str, Any] = {
            "client_id": client_app.pk,
            "consent": True,
            "birth_date": dt.date(dt.date.today().year - 30, 1, 1),  # noqa: DTZ011
            "gender": Gender.WOMAN,
            "seeking": [Gender.WOMAN],
            **fields,
        }
        return services.create_profile(**declared)

    return make


@pytest.fixture
def alice(make_person: MakePerson) -> Profile:
    """The one who searches."""
    return make_person()


MakePhoto = Callable[..., Photo]


@pytest.fixture
def make_photo() -> MakePhoto:
    """A stored photo of a person; published at once unless told otherwise."""
    seeds = iter(range(1, 10_000))

    def make(
        owner: Profile,
        *,
        purpose: Photo.Purpose = Photo.Purpose.PROFILE,
        published: bool = True,
        seed: int | None = None,
    ) -> Photo:
        data = photo_bytes(next(seeds) if seed is None else seed)
        photo = services.add_photo(owner=owner, data=data, purpose=purpose)
        if published and purpose == Photo.Purpose.PROFILE:
            services.approve(photo.pk, source=Photo.ApprovalSource.CURATED)
        photo.refresh_from_db()
        return photo

    return make


@pytest.fixture
def broker() -> Iterator[Broker]:
    """The stub queue, empty before and after."""
    stub = dramatiq.get_broker()
    _empty(stub)
    yield stub
    _empty(stub)


def _empty(stub: Any) -> None:
    """A worker that stops forgets what it had fetched: the queues still count it."""
    stub.flush_all()
    for queue in stub.queues.values():
        queue.unfinished_tasks = 0


@pytest.fixture
def work(broker: Broker, transactional_db: None) -> Iterator[Callable[[], None]]:
    """A real worker over the stub queue; call it to wait until all work is done."""
    worker = Worker(broker, worker_timeout=50)
    worker.start()

    def finish() -> None:
        for _ in range(3):  # work makes work: reading, then indexing
            for queue in broker.get_declared_queues():
                broker.join(queue, timeout=30_000)
            worker.join()

    yield finish
    worker.stop()


@pytest.fixture
def api(client_app: Client) -> APIClient:
    """The dating app's backend, with a service token."""
    return _with_token(Caller(client_id=client_app.pk))


@pytest.fixture
def api_as(client_app: Client) -> Callable[[Profile], APIClient]:
    """A person's own token."""

    def as_person(person: Profile) -> APIClient:
        return _with_token(Caller(client_id=person.client_id, person_id=person.pk))

    return as_person


def _with_token(who: Caller) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_token(who)}")
    return api
