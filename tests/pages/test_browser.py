"""All pages in a real Chromium, under the content security policy, with no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from profiles.models import Photo, Profile
from tests.conftest import photo_bytes
from tests.pages.conftest import PASSWORD

pytestmark = pytest.mark.browser


@pytest.fixture
def people(crowd: list[Profile], work: Callable[[], None]) -> list[Profile]:
    """The crowd, with a worker that goes on beside the page."""
    work()
    return crowd


def choose(page: Page, side: str, *photos: Photo) -> None:
    for photo in photos:
        page.locator(f'input[name="{side}"][value="{photo.pk}"]').check()


def find(page: Page) -> None:
    page.get_by_role("button", name="Find people").click()


def test_ten_people_are_found_by_photos_that_were_picked(
    people: list[Profile], page: Page
) -> None:
    photos = [person.photos.get() for person in people[:3]]
    page.goto("/")
    choose(page, "liked", *photos[:2])
    choose(page, "disliked", photos[2])
    expect(page.locator("#count")).to_have_text("2 of 5 liked, 1 of 5 not liked")
    find(page)
    expect(page.locator(".card")).to_have_count(10)
    for sentence in page.locator(".card .sentence").all_inner_texts():
        assert sentence.endswith(".")
    assert page.locator(".card .bars li").count() >= 10
    expect(page.locator(".understood")).to_contain_text("You seem to")
    expect(page.locator("footer")).to_contain_text("CC BY 4.0")


def test_a_photo_is_liked_or_not_and_five_are_enough(
    people: list[Profile], page: Page
) -> None:
    photos = [person.photos.get() for person in people[:6]]
    page.goto("/")
    choose(page, "liked", photos[0])
    choose(page, "disliked", photos[0])
    expect(page.locator("#count")).to_have_text("0 of 5 liked, 1 of 5 not liked")
    choose(page, "liked", *photos[1:6])
    last = page.locator(f'input[name="liked"][value="{people[6].photos.get().pk}"]')
    expect(last).to_be_disabled()


def test_an_answer_leads_on_and_back(people: list[Profile], page: Page) -> None:
    page.goto("/")
    choose(page, "liked", people[0].photos.get())
    find(page)
    page.get_by_role("link", name="More like this").first.click()
    expect(page.locator(".strip.like img")).to_have_count(2)
    page.get_by_role("link", name="Change this").click()
    expect(page.locator('input[name="liked"]:checked')).to_have_count(2)


def test_a_photo_of_ones_own_is_read_and_searched_by(
    people: list[Profile], page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "me.png"
    file.write_bytes(photo_bytes(90))
    page.goto("/")
    page.get_by_text("Use photos of your own").click()
    page.get_by_label("Photos that you like").set_input_files(file)
    find(page)
    expect(page.locator(".card")).to_have_count(10, timeout=20_000)
    expect(page.locator(".strip.like img")).to_have_count(1)


def test_it_works_without_scripts(
    people: list[Profile], chromium: Browser, live_server: LiveServer
) -> None:
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    choose(page, "liked", people[0].photos.get())
    find(page)
    expect(page.locator(".card")).to_have_count(10)
    context.close()


def log_in(page: Page, user: User) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_a_moderators_correction_wins_in_the_next_search(
    people: list[Profile], page: Page, moderator: User, work: Callable[[], None]
) -> None:
    photo = people[0].photos.get()
    log_in(page, moderator)
    page.goto("/admin/profiles/photo/")
    page.locator(f'a[href*="{photo.pk}"]').first.click()
    page.get_by_role("link", name="Correct hair color").click()
    page.get_by_label("dyed").check()
    page.get_by_label("Why?").fill("Nobody is born with green hair")
    page.get_by_role("button", name="Record the correction").click()
    expect(page.locator("tr.corrected")).to_contain_text("dyed")
    expect(page.locator(".log")).to_contain_text(["Nobody is born", "fake"])
    work()
    page.goto("/")
    choose(page, "liked", photo)
    find(page)
    expect(page.locator(".understood .bars")).to_contain_text("hair colour: dyed")


def test_a_moderator_rejects_a_photo_and_nobody_can_choose_it(
    people: list[Profile], page: Page, moderator: User
) -> None:
    photo = people[0].photos.get()
    log_in(page, moderator)
    page.goto(f"/admin/profiles/photo/{photo.pk}/change/")
    page.get_by_label("Reason").fill("shows a phone number")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator(".status.rejected")).to_be_visible()
    page.goto("/")
    expect(page.locator(f'input[value="{photo.pk}"]')).to_have_count(0)


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/profiles/profile/",
        "/admin/annotation/annotation/",
        "/admin/annotation/correction/",
    ],
)
def test_moderators_pages_keep_to_their_policy(
    people: list[Profile], page: Page, moderator: User, path: str
) -> None:
    log_in(page, moderator)
    page.goto(path)
    rows = page.locator("#result_list tbody th a")
    if rows.count():
        rows.first.click()
    expect(page.locator("#content")).to_be_visible()


def test_the_api_explains_itself(page: Page, db: None) -> None:
    page.goto("/v1/docs")
    expect(page.locator(".opblock")).not_to_have_count(0, timeout=20_000)
    search = page.locator(".opblock", has_text="/v1/search/visual")
    search.locator(".opblock-summary").click()
    expect(search).to_contain_text("positive_photo_ids")
