"""manage demo: real people are read, searched by a real rater's taste, and ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services as annotation
from demo import accounts, loading, london, reading, telling
from demo.asking import Api
from demo.failure import DemoError
from demo.london import Face, Rater
from matching import services
from matching.models import PersonVector, Space
from profiles.models import Client, Photo
from twinby.progress import Progress


class Command(BaseCommand):
    help = "Load the demo's people, have them read, and search by a real rater's taste."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="leave out the URLs")
        parser.add_argument("--rater", metavar="ID", help="a rater of the London set")

    def handle(self, *args: Any, **options: Any) -> None:
        faces, raters = london.faces(), london.raters()
        try:
            rater = chosen(options["rater"], faces, raters)
            client = accounts.client()
            self._prepare(client, faces)
            self._search(client, faces, rater, raters)
        except DemoError as error:
            raise CommandError(str(error)) from None
        if not options["once"]:
            self._say_where()

    def _prepare(self, client: Client, faces: Sequence[Face]) -> None:
        """Everybody loaded, read, and indexed in a space fitted to them."""
        progress = Progress("Loading people", len(faces))
        loading.load(client, faces, step=progress.step)
        progress.finish()
        photos = Photo.objects.published().filter(owner__client=client)
        ids = list(photos.order_by("pk").values_list("pk", flat=True))
        reading.read(ids)
        if not is_fitted(client, photos=len(ids)):
            self._say("Fitting the feature space to what was read")
            services.fit_feature_space()

    def _search(
        self,
        client: Client,
        faces: Sequence[Face],
        rater: Rater,
        raters: Sequence[Rater],
    ) -> None:
        taste = london.taste(rater, faces)
        photo_of = loading.photo_ids(client, faces)
        self._say(f"Searching over HTTP at {settings.PUBLIC_URL}")
        api = Api(settings.PUBLIC_URL).logged_in(accounts.credentials())
        matches, understood = api.search(
            loading.searcher(client, rater).pk,
            liked=[photo_of[face.number] for face in taste.liked],
            disliked=[photo_of[face.number] for face in taste.disliked],
            genders=[rater.prefers],
        )
        person_of = loading.people(client, faces)
        by_person = {person_of[face.number]: face for face in faces}
        self._print(telling.intro(rater, taste))
        self._print([f"  understood: {understood['sentence']}", ""])
        self._print(telling.table(matches, by_person, rater))
        others = london.average_by_others(rater, raters)
        self._print(["", *telling.verdict(matches, by_person, rater, taste, others)])

    def _say_where(self) -> None:
        url = settings.PUBLIC_URL.rstrip("/")
        name, password = accounts.moderator()
        self._say(f"The page:  {url}/")
        self._say(f"The admin: {url}/admin/ (user {name}, password {password})")
        self._say(f"The API:   {url}/v1/docs")
        self._say(
            f"Its client: id {accounts.credentials().client_id}, secret in"
            " .twinby/demo_client.secret"
        )

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)


def chosen(wanted: str | None, faces: Sequence[Face], raters: Sequence[Rater]) -> Rater:
    """The rater of that id, else by the rule of `london.clear_rater`."""
    if wanted is None:
        return london.clear_rater(faces, raters)
    rater = next((rater for rater in raters if rater.id == wanted), None)
    if rater is None or not rater.prefers:
        raise DemoError(f"There is no rater {wanted} who prefers one gender.")
    return rater


def is_fitted(client: Client, *, photos: int) -> bool:
    """Whether the active space was measured on these photos and holds their people."""
    space = Space.objects.filter(
        status=Space.Status.ACTIVE,
        photos__gte=photos,
        content__model=annotation.active_reader(),
    ).first()
    indexed = PersonVector.objects.filter(space=space, profile__client=client)
    return space is not None and indexed.count() >= photos // len(loading.EXPRESSIONS)
