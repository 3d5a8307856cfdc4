"""What is learned from everybody's feedback: versioned rows, never overwritten."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
