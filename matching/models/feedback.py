"""What people say of each other, whom they were shown, and what that taught."""

from __future__ import annotations

import uuid

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from matching.models.index import Space
from profiles.models import Profile


class Feedback(models.Model):
    """One thing that a person said of another, under the id that their app gave it."""

    class Kind(models.TextChoices):
        LIKE = "like"
        SUPER_LIKE = "super_like"
        PASS = "pass"  # noqa: S105 - no password
        BLOCK = "block"
        REPORT = "report"
        MESSAGE = "message"
        UNMATCH = "unmatch"

    class Reason(models.TextChoices):
        """Of a report; moderators look at what is most urgent first."""

        UNDERAGE = "underage"
        HARASSMENT = "harassment"
        NUDITY = "nudity"
        FAKE = "fake"
        SPAM = "spam"
        OTHER = "other"

    LIKES = (Kind.LIKE, Kind.SUPER_LIKE)
    # What teaches a taste.
    LABELS = (*LIKES, Kind.PASS)
    # What says whether one would meet the other: the latest that stands counts.
    STANCES = (*LABELS, Kind.BLOCK, Kind.UNMATCH)

    event_id = models.UUIDField()
    actor = models.ForeignKey(Profile, models.CASCADE, related_name="feedback_given")
    target = models.ForeignKey(Profile, models.CASCADE, related_name="feedback_got")
    kind = models.CharField(max_length=10, choices=Kind)
    # Of a report, if the app says so; never in words, which would name people.
    reason = models.CharField(
        max_length=10, choices=Reason, blank=True, default="", db_default=""
    )
    # The page on which the target was shown, if the app says so: Impression.page_id.
    page_id = models.UUIDField(null=True, blank=True)
    # Whether a match was made by it, then.
    matched = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # Undone: it counts for nothing.
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    # The taste was reset: it teaches nothing, and counts for all else.
    forgotten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["actor", "event_id"], name="feedback_once_per_event"
            ),
            models.CheckConstraint(
                name="feedback_is_on_somebody_else", condition=~Q(actor=F("target"))
            ),
        ]
        indexes = [
            # What teaches a taste, the latest first: matching.tastes.
            models.Index(
                fields=["actor", "-id"],
                include=["target", "kind", "created_at"],
                condition=Q(
                    kind__in=["like", "super_like", "pass"],
                    withdrawn_at__isnull=True,
                    forgotten_at__isnull=True,
                ),
                name="feedback_labels",
            ),
            # What stands between two people: matching.services.matches.
            models.Index(
                fields=["actor", "target", "-id"],
                condition=Q(withdrawn_at__isnull=True),
                name="feedback_between",
            ),
            # Moderators' list of reports.
            models.Index(
                fields=["-id"],
                condition=models.Q(kind="report"),
                name="feedback_reports",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class Match(models.Model):
    """Two people who like each other; `ended_at` once one of them does no more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The smaller id comes first: a pair has one row.
    first = models.ForeignKey(Profile, models.CASCADE, related_name="matches_as_first")
    second = models.ForeignKey(
        Profile, models.CASCADE, related_name="matches_as_second"
    )
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    # The later of both: what an app asks for that wants to hear of news.
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "matches"
        constraints = [
            models.UniqueConstraint(
                fields=["first", "second"], name="match_once_per_pair"
            ),
            models.CheckConstraint(
                name="match_has_its_smaller_id_first",
                condition=Q(first__lt=F("second")),
            ),
        ]
        indexes = [
            # The news of a person or of an app, page by page.
            models.Index(fields=["changed_at", "id"], name="match_news"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Impression(models.Model):
    """One person on one page that was shown: what experiments are judged by.

    Partitioned by month (matching.partitions), and dropped by the month. No foreign key
    in the database: its trigger would lock people whenever a month is made or dropped.
    """

    class Source(models.TextChoices):
        SEARCH = "search"
        DAILY = "daily"

    page_id = models.UUIDField()
    viewer = models.ForeignKey(
        Profile, models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    person = models.ForeignKey(
        Profile, models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    source = models.CharField(max_length=6, choices=Source)
    # From 1, within the page.
    rank = models.PositiveSmallIntegerField()
    # In log-odds: what the order went by, and of it the preference, before any stage.
    score = models.FloatField()
    preference = models.FloatField()
    # The probability of a like that was told.
    match_score = models.FloatField()
    # The chance that this person stood here: 1 where nothing is drawn by lot; not known
    # of a page that explores.
    propensity = models.FloatField(null=True)
    space = models.CharField(max_length=32)
    prior = models.CharField(max_length=64)
    method = models.CharField(max_length=32)
    # Empty: match scores were the model's own.
    calibration = models.CharField(max_length=32, blank=True)
    # "experiment:arm", or empty.
    arm = models.CharField(max_length=64, blank=True)
    shown_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # Exports and erasure of a person, and where a person was shown.
            models.Index(fields=["viewer", "shown_at"], name="impression_viewer"),
            models.Index(fields=["person", "shown_at"], name="impression_person"),
            # The last days: matching.impressions.count.
            BrinIndex(fields=["shown_at"], name="impression_day"),
        ]

    def __str__(self) -> str:
        return f"{self.page_id} {self.rank}"


class Exposure(models.Model):
    """How often a person was shown on a day (UTC), counted from the impressions."""

    profile = models.ForeignKey(Profile, models.CASCADE, related_name="exposures")
    day = models.DateField()
    impressions = models.PositiveIntegerField()
    # The sum of the probabilities of a like.
    expected_likes = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "day"], name="exposure_once_per_day"
            ),
        ]
        indexes = [
            # Days that are past: matching.impressions.count.
            models.Index(fields=["day"], name="exposure_day"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} on {self.day}"


class Taste(models.Model):
    """What a person's feedback has taught in one space; of no other space, ever."""

    profile = models.ForeignKey(Profile, models.CASCADE, related_name="tastes")
    space = models.ForeignKey(Space, models.CASCADE, related_name="tastes")
    # Prior.version of what was believed before.
    prior = models.CharField(max_length=64)
    # w, (644,) little-endian float32.
    weights = models.BinaryField()
    # (Feedback.id int64, credit float64) of every label: where the next fit starts.
    credits = models.BinaryField()
    labels = models.PositiveIntegerField()
    # Of them, likes: who likes few people likes one back less often.
    likes = models.PositiveIntegerField()
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "space"], name="one_taste_per_person_and_space"
            ),
        ]
        indexes = [
            # The stalest first: matching.tastes.sweep.
            models.Index(fields=["space", "updated_at"], name="taste_age"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.space_id}"
