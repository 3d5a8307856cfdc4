"""Who may be seen: the app's clients, people, and their photos."""

from __future__ import annotations

import datetime as dt
import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from pgvector.django import BitField

ADULT_AGE = 18
OLDEST_AGE = 120


class Gender(models.TextChoices):
    """Declared by the person, never inferred from a photo."""

    WOMAN = "woman"
    MAN = "man"
    NONBINARY = "nonbinary"


def years_before(day: dt.date, years: int) -> dt.date:
    """The same day `years` earlier; 29 February becomes the 28th."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


class Client(models.Model):
    """A dating app's backend: it owns people and gets tokens for them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    secret_hash = models.CharField(max_length=200, editable=False)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class ProfileQuerySet(models.QuerySet["Profile"]):
    """The gates of visibility. Every reader of other people's profiles starts here, but
    `examples` and `matching.selectors.still_eligible`, which tests hold to the same.
    """

    def annotatable(self) -> ProfileQuerySet:
        """People whose photos a machine may read."""
        return self.filter(consented_at__isnull=False).exclude(
            status=Profile.Status.BLOCKED
        )

    def searchable(self) -> ProfileQuerySet:
        """People who may be found: active, consenting, with an approved photo."""
        approved = Photo.objects.published().filter(owner=models.OuterRef("pk"))
        return self.filter(
            models.Exists(approved),
            consented_at__isnull=False,
            status=Profile.Status.ACTIVE,
        )

    def visible_to(self, viewer: Profile) -> ProfileQuerySet:
        """Whom `viewer` may be shown: each seeks the other, and neither blocks them.

        Nobody, once a moderator has blocked the viewer.
        """
        if viewer.status == Profile.Status.BLOCKED:
            return self.none()
        today = timezone.localdate()
        return (
            self.searchable()
            .filter(client_id=viewer.client_id)
            .exclude(pk=viewer.pk)
            .exclude(avoided_by=viewer)
            .exclude(avoided=viewer)
            .filter(gender__in=viewer.seeking, seeking__contains=[viewer.gender])
            .aged(viewer.sought_age_min, viewer.sought_age_max, on=today)
            .filter(
                sought_age_min__lte=viewer.age(on=today),
                sought_age_max__gte=viewer.age(on=today),
            )
        )

    def aged(self, youngest: int, oldest: int, *, on: dt.date) -> ProfileQuerySet:
        """People whose age in whole years lies in [youngest, oldest]."""
        return self.filter(
            birth_date__lte=years_before(on, youngest),
            birth_date__gt=years_before(on, oldest + 1),
        )


class Profile(models.Model):
    """A person, as they declare themselves."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        BLOCKED = "blocked"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Protected: a cascade would leave the files of people's photos behind.
    client = models.ForeignKey(Client, models.PROTECT, related_name="profiles")
    birth_date = models.DateField()
    gender = models.CharField(max_length=10, choices=Gender)
    seeking = ArrayField(models.CharField(max_length=10, choices=Gender))
    sought_age_min = models.PositiveSmallIntegerField(default=ADULT_AGE)
    sought_age_max = models.PositiveSmallIntegerField(default=OLDEST_AGE)
    about = models.TextField(blank=True, max_length=2000)
    smokes = models.BooleanField(null=True, blank=True)
    # Rounded to about a kilometre before it is stored: see services.coarse.
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    last_active_at = models.DateTimeField(default=timezone.now)
    consented_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.ACTIVE, db_default="active"
    )
    # What the person chose before a moderator blocked them, and gets back afterwards.
    status_unblocked = models.CharField(
        max_length=10,
        choices=Status,
        default=Status.ACTIVE,
        db_default="active",
        editable=False,
    )
    # Whom the person blocked: neither is shown to the other. A moderator's is a status.
    avoided = models.ManyToManyField(
        "self", symmetrical=False, related_name="avoided_by", editable=False
    )
    # Made up in part or whole: the demo's people, and those of load tests.
    synthetic = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProfileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="profile_seeks_somebody",
                condition=Q(seeking__len__gte=1),
            ),
            models.CheckConstraint(
                name="profile_sought_ages_are_adult_and_ordered",
                condition=Q(sought_age_min__gte=ADULT_AGE)
                & Q(sought_age_max__lte=OLDEST_AGE)
                & Q(sought_age_min__lte=F("sought_age_max")),
            ),
            models.CheckConstraint(
                name="profile_place_is_whole_and_on_earth",
                # A check passes where it is NULL: half a place must be said to fail.
                condition=Q(latitude__isnull=True, longitude__isnull=True)
                | Q(
                    latitude__isnull=False,
                    longitude__isnull=False,
                    latitude__range=(-90, 90),
                    longitude__range=(-180, 180),
                ),
            ),
        ]
        indexes = [
            # The mandatory part of every search: ProfileQuerySet.visible_to.
            models.Index(
                fields=["client", "gender", "birth_date"],
                condition=Q(status="active", consented_at__isnull=False),
                name="profile_searchable",
            ),
            # Radius filters: the bounding box around a place.
            models.Index(fields=["latitude", "longitude"], name="profile_place"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    def age(self, *, on: dt.date | None = None) -> int:
        """Age in whole years, today unless a day is given."""
        day = on or timezone.localdate()
        had_birthday = (day.month, day.day) >= (
            self.birth_date.month,
            self.birth_date.day,
        )
        return day.year - self.birth_date.year - (0 if had_birthday else 1)

    @property
    def consents(self) -> bool:
        return self.consented_at is not None


PHOTO_FOLDER = "photos"


def rendition_paths(photo_id: uuid.UUID) -> tuple[str, str]:
    """Where the display and the annotation rendition are stored.

    Random names only: nothing in a path says who or what is in the photo.
    """
    folder = f"{PHOTO_FOLDER}/{str(photo_id)[:2]}/{photo_id}"
    return f"{folder}/display.webp", f"{folder}/annotation.jpg"


def display_path(photo: Photo, _name: str) -> str:
    return rendition_paths(photo.pk)[0]


def annotation_path(photo: Photo, _name: str) -> str:
    return rendition_paths(photo.pk)[1]


class PhotoQuerySet(models.QuerySet["Photo"]):
    def published(self) -> PhotoQuerySet:
        """Photos that other people may see."""
        return self.filter(purpose=Photo.Purpose.PROFILE, status=Photo.Status.APPROVED)

    def usable_as_example(self, viewer: Profile) -> PhotoQuerySet:
        """Photos `viewer` may search by: own live anchors, and what they may see."""
        own_anchor = Q(
            owner=viewer, purpose=Photo.Purpose.ANCHOR, expires_at__gt=timezone.now()
        ) & ~Q(status__in=[Photo.Status.REJECTED, Photo.Status.QUARANTINED])
        seen = Q(
            purpose=Photo.Purpose.PROFILE,
            status=Photo.Status.APPROVED,
            owner__in=Profile.objects.visible_to(viewer),
        )
        return self.filter(own_anchor | seen)


class Photo(models.Model):
    """A photo on a profile, or an anchor: private, for its owner's searches only."""

    class Purpose(models.TextChoices):
        PROFILE = "profile"
        ANCHOR = "anchor"

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        QUARANTINED = "quarantined"

    class ApprovalSource(models.TextChoices):
        GATES = "gates"
        MODERATOR = "moderator"
        CURATED = "curated"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(Profile, models.CASCADE, related_name="photos")
    purpose = models.CharField(max_length=10, choices=Purpose)
    status = models.CharField(
        max_length=12, choices=Status, default=Status.PENDING, db_default="pending"
    )
    approval_source = models.CharField(
        max_length=10, choices=ApprovalSource, blank=True
    )
    status_reason = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64)
    dhash = BitField(length=64)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    display = models.FileField(upload_to=display_path, max_length=200)
    annotation = models.FileField(upload_to=annotation_path, max_length=200)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = PhotoQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "purpose", "sha256"], name="photo_once_per_owner"
            ),
            models.CheckConstraint(
                name="photo_anchors_expire_and_nothing_else",
                condition=Q(purpose="anchor", expires_at__isnull=False)
                | Q(purpose="profile", expires_at__isnull=True),
            ),
        ]
        indexes = [
            # Expiry of anchors: services.expire_anchors.
            models.Index(
                fields=["expires_at"],
                condition=Q(purpose="anchor"),
                name="photo_anchor_expiry",
            ),
            # The same bytes are never read twice: annotation.services.
            models.Index(fields=["sha256"], name="photo_sha256"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_anchor(self) -> bool:
        return self.purpose == self.Purpose.ANCHOR
