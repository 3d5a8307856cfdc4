"""The demo's crowd, a moderator, and a real Chromium that reports what it dislikes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client as Web
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from annotation import services as annotation
from annotation.models import Annotation
from annotation.moderators import NAME as MODERATORS
from demo import CLIENT
from matching import services as matching
from profiles import services
from profiles.models import Client, Gender, Profile
from tests.conftest import MakePerson, MakePhoto

CROWD = 16
PASSWORD = "correct horse battery staple"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def _demo_page(settings: Any) -> None:
    settings.DEMO_PAGE = True


@pytest.fixture
def demo_client(db: None) -> Client:
    """The client that owns the people of the demo page."""
    return services.create_client(CLIENT)[0]


MakeCrowd = Callable[[int], list[Profile]]


@pytest.fixture
def make_crowd(
    demo_client: Client, make_person: MakePerson, make_photo: MakePhoto
) -> MakeCrowd:
    """People, half of them men, each with a published, read and indexed photo."""

    def make(count: int) -> list[Profile]:
        genders = [Gender.WOMAN, Gender.MAN] * count
        people = [
            make_person(client_id=demo_client.pk, gender=gender, seeking=list(Gender))
            for gender in genders[:count]
        ]
        for person in people:
            make_photo(person)
        read_and_index(people)
        return people

    return make


@pytest.fixture
def crowd(make_crowd: MakeCrowd) -> list[Profile]:
    """More people than one page of an answer shows."""
    return make_crowd(CROWD)


def read_and_index(people: list[Profile]) -> None:
    """What the worker does, at once: most pages need its results only."""
    pending = Annotation.objects.pending().values_list("pk", flat=True)
    annotation.annotate(list(pending))
    for person in people:
        matching.reindex([person.pk])


@pytest.fixture
def moderator(db: None) -> User:
    """A member of staff who may do what moderators may, and nothing else."""
    user = User.objects.create_user("moderator", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name=MODERATORS))
    return user


@pytest.fixture
def desk(moderator: User) -> Web:
    """The moderator, logged in."""
    web = Web()
    web.force_login(moderator)
    return web


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module; its event loop would forbid the ORM beside it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGS
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A fresh visitor; the test fails if any page breaks its own security policy."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(f"{visitor.url}: {message.text}")

    context = chromium.new_context(base_url=live_server.url)
    visitor = context.new_page()
    visitor.on("console", listen)
    visitor.on("pageerror", lambda error: complaints.append(f"{visitor.url}: {error}"))
    yield visitor
    context.close()
    assert complaints == []
