"""What reading took and how it is calibrated: for operators, not for moderators."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from annotation.admin.lists import BackendFilter, LongListAdmin
from annotation.backends.remote.configuration import names
from annotation.models import Attempt, Calibration
from annotation.moderation import calibration_figures, cut, dollars, when
from annotation.services.ledger import COPIED, DONE, LOST
from annotation.services.readers import reader_name, version_of
from profiles.moderation import ReadOnlyAdmin

FAILED = "failed"


class OutcomeFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in (DONE, COPIED, LOST, FAILED)]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == FAILED:
            return rows.exclude(outcome__in=[DONE, COPIED, LOST])
        return rows.filter(outcome=self.value()) if self.value() else rows


class ProviderFilter(admin.SimpleListFilter):
    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in names()]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(provider=self.value()) if self.value() else rows


@admin.register(Attempt)
class AttemptAdmin(LongListAdmin):
    """The ledger: every try to read a photo, and what it took."""

    list_display = (
        *("moment", "short_annotator", "server", "outcome", "number"),
        *("tokens", "took", "cost"),
    )
    list_filter = (OutcomeFilter, "created_at", BackendFilter, ProviderFilter)
    fields = readonly_fields = (
        *("created_at", "annotator", "server", "outcome", "number"),
        *("tokens_in", "tokens_out", "took", "gpu", "cost"),
    )

    @admin.display(description="when")
    def moment(self, row: Attempt) -> str:
        return when(row.created_at)

    @admin.display(description="annotator")
    def short_annotator(self, row: Attempt) -> SafeString:
        return cut(self.annotator(row))

    @admin.display(description="annotator")
    def annotator(self, row: Attempt) -> str:
        return f"{row.backend}:{row.model}"

    @admin.display(description="provider")
    def server(self, row: Attempt) -> str:
        return row.provider or "-"

    @admin.display(description="try")
    def number(self, row: Attempt) -> int:
        """The first try is 1."""
        return row.retry + 1

    @admin.display(description="tokens")
    def tokens(self, row: Attempt) -> str:
        """Those read and those written."""
        read, written = row.tokens_in, row.tokens_out
        return f"{read:,} + {written:,}" if read or written else "-"

    @admin.display(description="seconds")
    def took(self, row: Attempt) -> str:
        return f"{row.seconds:.2f}"

    @admin.display(description="GPU seconds")
    def gpu(self, row: Attempt) -> str:
        return f"{row.gpu_seconds:.3f}" if row.gpu_seconds else "-"

    @admin.display(description="cost")
    def cost(self, row: Attempt) -> str:
        return dollars(row.cost_usd)


@admin.register(Calibration)
class CalibrationAdmin(ReadOnlyAdmin):
    """Every calibration there ever was, and what it was worth on photos held out."""

    list_display = (
        *("version", "short_annotator", "made_from", "active", "labels"),
        *("error", "likelihood", "made"),
    )
    list_filter = ("is_active", BackendFilter, "created_at")
    ordering = ("-created_at",)
    fields = readonly_fields = (
        *("version", "reader", "made_from", "active"),
        *("created_at", "activated_at", "figures"),
    )

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False

    @admin.display(description="annotator")
    def short_annotator(self, row: Calibration) -> SafeString:
        return cut(version_of(row).name)

    @admin.display(description="active", boolean=True, ordering="is_active")
    def active(self, row: Calibration) -> bool:
        return row.is_active

    @admin.display(description="when", ordering="created_at")
    def made(self, row: Calibration) -> str:
        return when(row.created_at)

    @admin.display(description="reads as")
    def reader(self, row: Calibration) -> str:
        return reader_name(version_of(row), row.version)

    @admin.display(description="made from")
    def made_from(self, row: Calibration) -> str:
        return row.method.replace("_", " ")

    @admin.display(description="labels")
    def labels(self, row: Calibration) -> int | str:
        return next((one.labels for one in calibration_figures(row)), "-")

    @admin.display(description="ECE")
    def error(self, row: Calibration) -> str:
        return before_and_after(row, "ece")

    @admin.display(description="NLL")
    def likelihood(self, row: Calibration) -> str:
        return before_and_after(row, "nll")

    @admin.display(description="worth")
    def figures(self, row: Calibration) -> SafeString | str:
        found = calibration_figures(row)
        if not found:
            return "not measured: there were no labels"
        return render_to_string("admin/_figures.html", {"figures": found})


def before_and_after(row: Calibration, figure: str) -> str:
    """A figure of all labels together; a dash where there were none."""
    for one in calibration_figures(row)[:1]:
        before, after = one.before[figure], one.after[figure]
        return (
            "-" if before is None else f"{before:.3f} \N{RIGHTWARDS ARROW} {after:.3f}"
        )
    return "-"
