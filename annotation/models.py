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

    def failed(self) -> AnnotationQuerySet:
        return self.filter(status=Annotation.Status.FAILED)


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
    # {attribute: probability of any value at all}; {} where the back end has no such.
    mass = models.JSONField(default=dict, db_default={})
    gates = models.JSONField(default=dict)
    # Pooled vision features, little-endian float16, of the model's own width.
    features = models.BinaryField(null=True, editable=False)
    seconds = models.FloatField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, default=0)
    tokens = models.PositiveIntegerField(default=0)
    failure = models.CharField(max_length=100, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    # How many tries of this photo the ledger has, of attempts given back as well.
    # Not a positive field, whose check would scan a full table while it is locked.
    tries = models.IntegerField(default=0, db_default=0)
    # It may be what brought its worker down: it is read without neighbours.
    alone = models.BooleanField(default=False, db_default=False)
    # Whether its gates were acted on: not yet, if its version was only tried then.
    gated = models.BooleanField(default=True, db_default=True)
    # Whoever works on a pending row holds a lease of it, and keeps renewing it.
    lease = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
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
            # Claiming: the pending rows of one version, in their order.
            models.Index(
                fields=[
                    *("backend", "model", "prompt_version", "schema_version"),
                    *("alone", "attempts", "id"),
                ],
                condition=Q(status="pending"),
                name="annotation_claim",
            ),
            models.Index(
                fields=["backend", "model", "id"],
                condition=Q(gated=False),
                name="annotation_ungated",
            ),
            # What is being read now: the daily budget, and equal bytes.
            models.Index(
                fields=["leased_until"],
                condition=Q(status="pending", lease__isnull=False),
                name="annotation_leased",
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


class Attempt(models.Model):
    """The ledger: one try to read one photo, and what it took. It names no photo."""

    backend = models.CharField(max_length=20)
    model = models.CharField(max_length=100)
    # A server's name in the settings; "" on a machine of our own.
    provider = models.CharField(max_length=40, blank=True)
    # How many tries at the same photo came before this one.
    retry = models.PositiveIntegerField(default=0)
    # "done", or a failure's reason.
    outcome = models.CharField(max_length=100)
    tokens_in = models.PositiveIntegerField(default=0)
    tokens_out = models.PositiveIntegerField(default=0)
    gpu_seconds = models.FloatField(default=0)
    seconds = models.FloatField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=8, default=0)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.outcome} by {self.model}"


class DayCost(models.Model):
    """What all tries of a day (UTC) cost: the ledger's sum, kept as it grows.

    A budget asks for it before every batch; of a million rows the sum takes too long.
    """

    day = models.DateField(primary_key=True)
    cost_usd = models.DecimalField(max_digits=16, decimal_places=8)

    def __str__(self) -> str:
        return f"{self.cost_usd} on {self.day}"


class Calibration(models.Model):
    """How one annotator's probabilities are corrected on reading; never overwritten.

    `version` is made of its content. One of an annotator's calibrations is active, or
    none, and then its probabilities count as they are.
    """

    backend = models.CharField(max_length=20)
    model = models.CharField(max_length=100)
    prompt_version = models.CharField(max_length=32, blank=True)
    schema_version = models.CharField(max_length=16)
    version = models.CharField(max_length=16)
    # Where it comes from: "labels" or "content_free".
    method = models.CharField(max_length=16)
    content = models.JSONField()
    # Calibration error and reliability before and after, by attribute.
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "backend",
                    "model",
                    "prompt_version",
                    "schema_version",
                    "version",
                ],
                name="calibration_once_per_content",
            ),
            models.UniqueConstraint(
                fields=["backend", "model", "prompt_version", "schema_version"],
                condition=Q(is_active=True),
                name="calibration_one_active",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} of {self.model}"
