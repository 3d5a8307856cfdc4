"""What is learned from everybody's feedback: versioned rows, never overwritten."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from matching.models.index import Space


class MatchCalibration(models.Model):
    """How match scores are made of log-odds: a `Calibrator`. Never overwritten.

    `version` is made of its content. One is active, or none, and then the model's own
    probability is told, and said not to be calibrated.
    """

    version = models.CharField(max_length=32, unique=True)
    # {"method": "platt", "slope": …, "intercept": …}: calibration.to_dict.
    content = models.JSONField()
    # Log-losses on outcomes not learned from, in nats; how many outcomes and likes.
    metrics = models.JSONField(default=dict)
    is_active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"],
                condition=Q(is_active=True),
                name="one_active_match_calibration",
            ),
        ]

    def __str__(self) -> str:
        return self.version


class LearnedPrior(models.Model):
    """What people who seek the same genders like, and how much they differ: a prior.

    Never overwritten: `version` is made of its content. It is of one space, and nothing
    is known of it in another. One is active per space and genders, or none.
    """

    class Status(models.TextChoices):
        LEARNED = "learned"
        ACTIVE = "active"
        RETIRED = "retired"

    version = models.CharField(max_length=32)
    space = models.ForeignKey(Space, models.CASCADE, related_name="priors")
    # priors.seeking_key: "man+woman".
    seeking = models.CharField(max_length=64)
    # preference.Prior as .npz: priors.to_npz.
    content = models.BinaryField()
    raters = models.PositiveIntegerField()
    # evaluation.prior_worth.Worth, on people it was not learned from.
    metrics = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=Status, default=Status.LEARNED)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "space", "seeking"], name="one_prior_per_version"
            ),
            models.UniqueConstraint(
                fields=["space", "seeking"],
                condition=Q(status="active"),
                name="one_active_prior_per_space_and_seeking",
            ),
        ]

    def __str__(self) -> str:
        return self.version
