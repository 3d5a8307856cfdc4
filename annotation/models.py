"""What is seen: machine readings of photos, and people's corrections of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from profiles.models import Photo


class AnnotationQuerySet(models.QuerySet["Annotation"]):
    def done(self) -> AnnotationQuerySet:
        return self.filter(status=Annotation.Status.DONE)

    def pending(self) -> AnnotationQuerySet:
        return self.filter(status=Annotation.Status.PENDING)


class Annotation(models.Model):
    """One annotator's reading of one photo: the ledger, and the queue of record.

    A row exists before the work is done; a message in the queue is only a nudge.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"

    photo = models.ForeignKey(Photo, models.CASCADE, related_name="annotations")
    backend = models.CharField(max_length=20)
    model = models.CharField(max_length=100)
    prompt_version = models.CharField(max_length=32, blank=True)
    schema_version = models.CharField(max_length=16)
    status = models.CharField(
        max_length=8, choices=Status, default=Status.PENDING, db_default="pending"
    )
    # Where the numbers come from: annotation.backends.base.Source.
    source = models.CharField(
        max_length=16, default="probabilities", db_default="probabilities"
    )
    # {attribute: {value: probability}}, valid by annotation.schema, or {} until done.
    attributes = models.JSONField(default=dict)
    gates = models.JSONField(default=dict)
    # Pooled vision features, little-endian float16, of the model's own width.
    features = models.BinaryField(null=True, editable=False)
    seconds = models.FloatField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, default=0)
    tokens = models.PositiveIntegerField(default=0)
    failure = models.CharField(max_length=100, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AnnotationQuerySet.as_manager()

    class Meta:
        constraints = [
            # Running twice equals running once.
            models.UniqueConstraint(
                fields=[
                    "photo",
                    "backend",
                    "model",
                    "prompt_version",
                    "schema_version",
                ],
                name="annotation_once_per_photo_and_version",
            ),
            models.CheckConstraint(
                name="annotation_failures_have_a_reason",
                condition=~Q(status="failed") | ~Q(failure=""),
            ),
        ]
        indexes = [
            # The sweep for work that a lost message left behind.
            models.Index(
                fields=["updated_at"],
                condition=Q(status="pending"),
                name="annotation_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.photo_id} by {self.model}"


class CorrectionQuerySet(models.QuerySet["Correction"]):
    def standing(self) -> CorrectionQuerySet:
        """Corrections that count, the latest last."""
        return self.filter(withdrawn_at__isnull=True).order_by("pk")


class Correction(models.Model):
    """A moderator's word on one attribute of one photo: it wins over any model."""

    photo = models.ForeignKey(Photo, models.CASCADE, related_name="corrections")
    attribute = models.CharField(max_length=32)
    distribution = models.JSONField()
    reason = models.CharField(max_length=500)
    moderator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = CorrectionQuerySet.as_manager()

    class Meta:
        indexes = [
            # The effective attributes of a photo: services.effective_readings.
            models.Index(
                fields=["photo", "attribute"],
                condition=Q(withdrawn_at__isnull=True),
                name="correction_standing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.attribute} of {self.photo_id}"
