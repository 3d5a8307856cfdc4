"""The demo page: choose or upload photos, see who is found and why. Off by default."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.files import File
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from demo.cards import Tile, cards, tile, wish_bars
from demo.forms import SIDES, ExamplesForm, UploadForm
from demo.visitors import viewer_of, visitor_of
from matching import impressions
from matching.models import Impression
from matching.search import Page, Query, search
from matching.selectors import Filters
from matching.wording import understood
from profiles.models import Photo, Profile
from profiles.services import add_photo
from twinby.errors import DomainError, NotFoundError

PEOPLE_SHOWN = 120
PAGE = 10
BEING_READ = "photos-not-ready"
REFRESH_SECONDS = 2
# What the API says to programs, said to people.
SAID = {
    "photo-not-found": "One of these photos is not there any more, or not for you.",
    "photos-unreadable": "One of these photos cannot be read: choose another one.",
    "bad-cursor": "This page belongs to another search: start again.",
}

Sides = Mapping[str, Collection[uuid.UUID]]
Door = Callable[[HttpRequest], HttpResponse]
View = Callable[[HttpRequest, Profile], HttpResponse]


def for_visitors(view: View) -> Door:
    """A view with its viewer; where the demo is off or has no people, a 404."""

    @wraps(view)
    def door(request: HttpRequest) -> HttpResponse:
        if not settings.DEMO_PAGE:
            raise Http404
        try:
            viewer = viewer_of(request.session)
        except NotFoundError as error:
            context = {"message": error.message}
            return render(request, "demo/nobody.html", context, status=404)
        return view(request, viewer)

    return door


@require_safe
@for_visitors
def demo(request: HttpRequest, viewer: Profile) -> HttpResponse:
    """The photos to choose from; a query string brings a choice back."""
    form = UploadForm(request.GET) if request.GET else UploadForm()
    form.is_valid()  # cleans what was chosen; it is judged when the search is asked
    return _choice(request, viewer, form)


@require_http_methods(["GET", "HEAD", "POST"])
@for_visitors
def demo_search(request: HttpRequest, viewer: Profile) -> HttpResponse:
    """POST takes uploads in and leads to the answer, which has its own address."""
    if request.method == "POST":
        return _ask(request, viewer)
    return _answer(request, viewer)


def _ask(request: HttpRequest, viewer: Profile) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _choice(request, viewer, form, errors=form.complaints())
    if form.brings_photos:
        viewer = visitor_of(request.session)
    sides = {side: list(form.cleaned_data[side]) for side in SIDES}
    try:
        for side in SIDES:
            for file in form.cleaned_data[f"{side}_files"]:
                # One by one: what was stored before a refusal stays chosen.
                sides[side].append(_anchor(viewer, file))
    except DomainError as error:
        return _choice(request, viewer, form, errors=[error.message], sides=sides)
    return HttpResponseRedirect(f"{reverse('demo-search')}?{form.query(sides)}")


def _anchor(visitor: Profile, file: File[bytes]) -> uuid.UUID:
    data = file.read(settings.PHOTO_MAX_BYTES + 1)  # one more is refused as too large
    return add_photo(owner=visitor, data=data, purpose=Photo.Purpose.ANCHOR).pk


def _answer(request: HttpRequest, viewer: Profile) -> HttpResponse:
    form = ExamplesForm(request.GET)
    if not form.is_valid():
        return _choice(request, viewer, form, errors=form.complaints())
    context = _asked(viewer, form)
    try:
        page = search(viewer, _query(form))
    except DomainError as error:
        if error.problem_kind == BEING_READ:
            context["refresh_seconds"] = REFRESH_SECONDS
            return render(request, "demo/waiting.html", context)
        words = [SAID.get(error.problem_kind, error.message)]
        return _choice(request, viewer, form, errors=words, status=error.status)
    impressions.log(viewer, page, source=Impression.Source.SEARCH)
    context |= _found(viewer, form, page)
    return render(request, "demo/answer.html", context)


def _query(form: ExamplesForm) -> Query:
    gender = form.cleaned_data["gender"]
    return Query(
        liked=form.cleaned_data["liked"],
        disliked=form.cleaned_data["disliked"],
        filters=Filters(genders=(gender,) if gender else ()),
        importance=form.importance,
        limit=PAGE,
        cursor=form.cleaned_data["cursor"],
    )


def _asked(viewer: Profile, form: ExamplesForm) -> dict[str, Any]:
    """The examples as they were given, numbered as the sentences number them."""
    sides = {side: _given(viewer, form.cleaned_data[side]) for side in SIDES}
    return {
        **sides,
        "query": form.query(form.cleaned_data),
        "most": settings.SEARCH_MAX_EXAMPLES,
    }


def _given(viewer: Profile, photo_ids: Sequence[uuid.UUID]) -> list[Tile]:
    usable = Photo.objects.usable_as_example(viewer).select_related("owner")
    found = usable.in_bulk(photo_ids)
    return [
        tile(found[pk], viewer, number=number)
        for number, pk in enumerate(photo_ids, start=1)
        if pk in found
    ]


def _found(viewer: Profile, form: ExamplesForm, page: Page) -> dict[str, Any]:
    cursor = page.next_cursor
    return {
        "understood": understood(page.wishes),
        "wishes": wish_bars(page.wishes),
        "cards": cards(page, viewer),
        "calibrated": page.calibration is not None,
        "next_query": cursor and form.query(form.cleaned_data, cursor=cursor),
    }


def _choice(
    request: HttpRequest,
    viewer: Profile,
    form: ExamplesForm,
    *,
    errors: Collection[str] = (),
    status: int = 400,
    sides: Sides | None = None,
) -> HttpResponse:
    """The page to choose on, with what was chosen; `status` counts if errors do."""
    chosen = sides or getattr(form, "cleaned_data", {})
    liked, disliked = (set(chosen.get(side, ())) for side in SIDES)
    context = {
        "form": form if isinstance(form, UploadForm) else UploadForm(form.data),
        "errors": errors,
        "liked": liked,
        "disliked": disliked,
        "tiles": _tiles(viewer, liked | disliked),
        "most": settings.SEARCH_MAX_EXAMPLES,
    }
    return render(request, "demo/demo.html", context, status=status if errors else 200)


def _tiles(viewer: Profile, chosen: Collection[uuid.UUID]) -> list[Tile]:
    """The viewer's own photos, those chosen, and one of every other person."""
    usable = Photo.objects.usable_as_example(viewer).select_related("owner")
    mine = usable.filter(purpose=Photo.Purpose.ANCHOR).order_by("-created_at")
    published = usable.filter(purpose=Photo.Purpose.PROFILE)
    picked = published.filter(pk__in=chosen)
    others = (
        published.exclude(owner__in=picked.values("owner"))
        .order_by("owner_id", "created_at", "pk")
        .distinct("owner_id")
    )
    photos = [*mine, *picked, *others[:PEOPLE_SHOWN]]
    return [tile(photo, viewer, number=i) for i, photo in enumerate(photos, start=1)]
