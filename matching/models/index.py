"""What is searched: versioned heads and feature spaces, one vector a person in each."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from pgvector.django import HalfVectorField

from matching.features import SKETCH_WIDTH, STORED_WIDTH, FeatureSpace
from profiles.models import Gender, Profile

HEAD_FOLDER = "heads"
AGES = ("birth_date", "sought_age_min", "sought_age_max")
PLACE = ("latitude", "longitude")


class Head(models.Model):
    """A trained head: from one annotator's features to embeddings. Never overwritten.

    `version` is made of its content. One of an annotator's heads is active, or none,
    and then its features are projected untrained.
    """

    class Status(models.TextChoices):
        TRAINED = "trained"
        ACTIVE = "active"
        RETIRED = "retired"

    class Triplets(models.TextChoices):
        IDENTITY = "identity"
        FEEDBACK = "feedback"

    version = models.CharField(max_length=32, unique=True)
    # AnnotatorVersion.name: a calibration changes no features.
    annotator = models.CharField(max_length=160)
    # How many features it takes.
    width = models.PositiveIntegerField()
    triplets = models.CharField(max_length=8, choices=Triplets)
    # projection.HeadWeights as .npz, and its SHA-256.
    weights = models.FileField(upload_to=HEAD_FOLDER, max_length=200)
    sha256 = models.CharField(max_length=64)
    # What it is worth on people it has not seen, and what others are: worth.Worth.
    metrics = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=Status, default=Status.TRAINED)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["annotator"],
                condition=Q(status="active"),
                name="one_active_head_per_annotator",
            ),
        ]

    def __str__(self) -> str:
        return self.version


class Evaluation(models.Model):
    """What one annotator's version is worth, by labelled photos: the latest report."""

    # AnnotatorVersion.name: evaluations are made without a calibration.
    annotator = models.CharField(max_length=160, unique=True)
    # {"faces_auc": 0.95, …}: more is better.
    headlines = models.JSONField()
    # {"measured": 2608, …}: figures are compared only of as many photos.
    photos = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.annotator


class Space(models.Model):
    """A stored `FeatureSpace`. One is active; a new one is filled beside it first."""

    class Status(models.TextChoices):
        BUILDING = "building"
        ACTIVE = "active"
        RETIRED = "retired"

    version = models.CharField(max_length=32, unique=True)
    # {"mean": …, "scale": …, …}: FeatureSpace.to_dict().
    content = models.JSONField()
    photos = models.PositiveIntegerField(default=0)
    # index.sketch.Sketch.to_bytes(), from the first lists on. It stays as it is.
    sketch = models.BinaryField(null=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.BUILDING)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status="active"), name="one_active_space"
            ),
        ]

    def __str__(self) -> str:
        return self.version

    def load(self) -> FeatureSpace:
        """The space itself; ValueError if it is of another attribute schema."""
        return FeatureSpace.from_dict(self.content)


class PersonVector(models.Model):
    """A searchable person in one space; gone as soon as they may not be found."""

    profile = models.ForeignKey(Profile, models.CASCADE, related_name="vectors")
    space = models.ForeignKey(Space, models.CASCADE, related_name="vectors")
    # [visual 512 ; attributes 132 ; slack ; zeros]: features.pack.
    vector = HalfVectorField(dimensions=STORED_WIDTH)
    # Of the vector, by a trigger, once there are many in the space: index.sketches.
    sketch = HalfVectorField(dimensions=SKETCH_WIDTH, null=True, editable=False)
    # {"eyewear.glasses": 0.93}: what can be seen of the person, for hard wishes.
    presence = models.JSONField(default=dict)
    photos = models.PositiveSmallIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)
    # What the person declares, beside the vector, so that no search has to look it up
    # elsewhere. Triggers copy it, and keep it true in the same transaction: see
    # migration 0005. Code only reads it.
    client = models.UUIDField(null=True, editable=False)
    birth_date = models.DateField(null=True, editable=False)
    gender = models.CharField(
        max_length=10, choices=Gender, blank=True, db_default="", editable=False
    )
    seeking = ArrayField(
        models.CharField(max_length=10, choices=Gender),
        db_default=Value([]),
        editable=False,
    )
    sought_age_min = models.PositiveSmallIntegerField(null=True, editable=False)
    sought_age_max = models.PositiveSmallIntegerField(null=True, editable=False)
    smokes = models.BooleanField(null=True, editable=False)
    latitude = models.FloatField(null=True, editable=False)
    longitude = models.FloatField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "space"], name="one_vector_per_person_and_space"
            ),
        ]
        # What is compared lies in an index, whole rows are read of those who pass only;
        # by a place their sketches as well, of which the nearest are read. Whom they
        # seek is a list, which no index would compare: one for each. Migration 0005
        # adds another, of one person in 64, by which their number is estimated.
        indexes = [
            *(
                models.Index(
                    fields=["space", "client", "gender", *AGES],
                    condition=Q(seeking__contains=[gender.value]),
                    name=f"person_declared_{gender.value}",
                )
                for gender in Gender
            ),
            *(
                models.Index(
                    fields=["space", "client", "gender", *PLACE, *AGES],
                    include=["profile", "smokes", "sketch"],
                    condition=Q(seeking__contains=[gender.value]),
                    name=f"person_near_{gender.value}",
                )
                for gender in Gender
            ),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.space_id}"
