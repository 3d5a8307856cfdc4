"""Machine readings and people's corrections, as lists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from annotation import services
from annotation.admin.lists import BackendFilter, LongListAdmin, of_photo
from annotation.answers import LEAST_MASS
from annotation.models import Annotation, Correction
from annotation.moderation import (
    GATES_ONLY,
    cut,
    dollars,
    gate_badges,
    label,
    said,
    sections,
    when,
)
from annotation.schema import SCHEMA, SCHEMA_VERSION, Attributes
from annotation.services.readers import reader_of, version_of
from profiles.models import Photo
from profiles.moderation import ReadOnlyAdmin, short, status_badge, thumbnail


@admin.register(Annotation)
class AnnotationAdmin(LongListAdmin):
    """Machine output, as it was: nobody edits it."""

    list_display = ("face", "key", "state", "verdicts", "short_annotator", "moment")
    list_display_links = ("face", "key")
    list_filter = ("status", BackendFilter, "updated_at")
    list_select_related = ("photo",)
    search_fields = ("photo",)
    search_help_text = "The whole id of a photo"
    readonly_fields = (
        *("face", "of", "state", "verdicts", "reader", "as_read", "probabilities"),
        *("unanswered", "annotator", "numbers", "cost", "has_features"),
    )
    fieldsets = (
        (None, {"fields": ("face", "of", "state", "verdicts")}),
        ("As it is read", {"fields": ("reader", "as_read")}),
        (
            "As the machine said it",
            {"fields": ("annotator", "numbers", "unanswered", "probabilities")},
        ),
        (
            "What it took",
            {
                "fields": (
                    *("seconds", "tokens", "cost", "attempts", "has_features"),
                    *("schema_version", "created_at", "updated_at"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Anchors are private: not even moderators browse them."""
        rows = super().get_queryset(request).defer("features")
        return rows.exclude(photo__purpose=Photo.Purpose.ANCHOR)

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        return of_photo(queryset, search_term) if search_term else queryset, False

    @admin.display(description="picture")
    def face(self, row: Annotation) -> SafeString:
        return thumbnail(row.photo)

    @admin.display(description="photo")
    def key(self, row: Annotation) -> str:
        return short(row.photo_id)

    @admin.display(description="photo")
    def of(self, row: Annotation) -> SafeString:
        address = reverse("admin:profiles_photo_change", args=[row.photo_id])
        return format_html('<a href="{}">{}</a>', address, row.photo_id)

    @admin.display(description="status")
    def state(self, row: Annotation) -> SafeString:
        return format_html("{} {}", status_badge(row.status), row.failure)

    @admin.display(description="gates")
    def verdicts(self, row: Annotation) -> SafeString:
        return gate_badges(row.gates)

    @admin.display(description="when")
    def moment(self, row: Annotation) -> str:
        return when(row.updated_at)

    @admin.display(description="annotator")
    def short_annotator(self, row: Annotation) -> SafeString:
        return cut(version_of(row).name)

    @admin.display(description="annotator")
    def annotator(self, row: Annotation) -> str:
        return version_of(row).name

    @admin.display(description="read by")
    def reader(self, row: Annotation) -> str:
        return reader_of(version_of(row))

    @admin.display(description="attributes")
    def as_read(self, row: Annotation) -> SafeString | str:
        """Calibrated, and without what the model did not answer; before corrections."""
        if nothing := nothing_kept(row):
            return nothing
        if row.schema_version != SCHEMA_VERSION:
            return "not at all: it is of an older schema"
        seen = services.as_read(row).attributes
        return "as it was said" if seen == row.attributes else reading_table(seen)

    @admin.display(description="attributes")
    def probabilities(self, row: Annotation) -> SafeString | str:
        return nothing_kept(row) or reading_table(row.attributes)

    @admin.display(description="not answered")
    def unanswered(self, row: Annotation) -> str:
        """What the model refused to say, or answered by none of the options."""
        return ", ".join(label(n) for n, m in row.mass.items() if m < LEAST_MASS) or "-"

    @admin.display(description="numbers are")
    def numbers(self, row: Annotation) -> str:
        return label(row.source)

    @admin.display(description="cost")
    def cost(self, row: Annotation) -> str:
        return dollars(row.cost_usd)

    @admin.display(description="features are kept", boolean=True)
    def has_features(self, row: Annotation) -> bool:
        return row.features is not None


def nothing_kept(row: Annotation) -> str:
    """Why there are no attributes to show; "" if there are."""
    if row.status != Annotation.Status.DONE:
        return "none yet" if row.status == Annotation.Status.PENDING else "none"
    return "" if row.attributes else GATES_ONLY


def reading_table(attributes: Attributes) -> SafeString:
    """Every attribute with its probabilities, as HTML."""
    return render_to_string("admin/_reading.html", {"sections": sections(attributes)})


class AttributeFilter(admin.SimpleListFilter):
    title = "attribute"
    parameter_name = "attribute"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(attribute.name, label(attribute.name)) for attribute in SCHEMA]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(attribute=self.value()) if self.value() else rows


@admin.register(Correction)
class CorrectionAdmin(ReadOnlyAdmin):
    """All corrections; withdrawing one is an action, and can be seen afterwards."""

    list_display = (
        *("face", "name", "says", "reason", "moderator", "made", "withdrawn"),
    )
    list_display_links = ("face", "name")
    list_filter = (AttributeFilter, "moderator", "created_at")
    search_fields = ("photo__id", "reason")
    list_select_related = ("moderator", "photo")
    ordering = ("-created_at",)
    fields = readonly_fields = (
        *("face", "photo", "name", "says", "reason", "moderator"),
        *("created_at", "withdrawn_at"),
    )
    actions = ("withdraw",)

    @admin.display(description="picture")
    def face(self, row: Correction) -> SafeString:
        return thumbnail(row.photo)

    @admin.display(description="attribute", ordering="attribute")
    def name(self, row: Correction) -> str:
        return label(row.attribute)

    @admin.display(description="when", ordering="created_at")
    def made(self, row: Correction) -> str:
        return when(row.created_at)

    @admin.display(description="withdrawn", ordering="withdrawn_at")
    def withdrawn(self, row: Correction) -> str:
        return when(row.withdrawn_at) if row.withdrawn_at else "-"

    @admin.display(description="says")
    def says(self, row: Correction) -> str:
        return said(row.distribution)

    @admin.action(
        description="Withdraw: what stood before counts again", permissions=["change"]
    )
    def withdraw(self, request: HttpRequest, corrections: Any) -> None:
        done = [row for row in corrections if services.withdraw_correction(row)]
        for row in done:
            self.log_change(request, row, "withdrawn")
        self.message_user(request, f"{len(done)} withdrawn.")
