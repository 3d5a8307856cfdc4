"""What reading took and how it is calibrated: for operators, not for moderators."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from annotation.models import Attempt, Calibration
from annotation.moderation import calibration_figure
from profiles.moderation import ReadOnlyAdmin


class RecordAdmin(ReadOnlyAdmin):
    """What was done, for operators: nobody changes it."""

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False


@admin.register(Attempt)
class AttemptAdmin(RecordAdmin):
    """The ledger: every try to read a photo, and what it took."""

    list_display = (
        "created_at",
        "backend",
        "model",
        "provider",
        "outcome",
        "retry",
        "tokens_in",
        "tokens_out",
        "gpu_seconds",
        "seconds",
        "cost_usd",
    )
    list_filter = ("backend", "model", "provider", "outcome")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    # The ledger has a row per photo and try: counting all of them takes long.
    show_full_result_count = False


@admin.register(Calibration)
class CalibrationAdmin(RecordAdmin):
    """Every calibration there ever was, and what it was worth on photos held out."""

    list_display = (
        "version",
        "backend",
        "model",
        "method",
        "is_active",
        "labels",
        "before",
        "after",
        "created_at",
    )
    list_filter = ("is_active", "backend", "model", "method")
    ordering = ("-created_at",)
    readonly_fields = ("labels", "before", "after")
    # The figures of every attribute are in what the command has printed.
    exclude = ("metrics",)

    @admin.display(description="labels")
    def labels(self, row: Calibration) -> str:
        return calibration_figure(row, "labels")

    @admin.display(description="error before")
    def before(self, row: Calibration) -> str:
        return calibration_figure(row, "before")

    @admin.display(description="error after")
    def after(self, row: Calibration) -> str:
        return calibration_figure(row, "after")
