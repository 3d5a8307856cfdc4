"""Machine readings and people's corrections, as lists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from annotation import services
from annotation.models import Annotation, Correction
from annotation.moderation import said, sections
from annotation.schema import Attributes
from profiles.models import Photo
from profiles.moderation import ReadOnlyAdmin, thumbnail


@admin.register(Annotation)
class AnnotationAdmin(ReadOnlyAdmin):
    """Machine output, as it was: nobody edits it."""

    list_display = ("face", "photo", "model", "status", "failure", "updated_at")
    list_display_links = ("face", "photo")
    list_filter = ("status", "backend", "model")
    list_select_related = ("photo",)
    search_fields = ("photo__id",)
    ordering = ("-updated_at",)
    readonly_fields = ("face", "probabilities", "reader", "as_read")
    exclude = ("attributes", "features")
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> Any:
        """Anchors are private: not even moderators browse them."""
        rows = super().get_queryset(request).defer("features")
        return rows.exclude(photo__purpose=Photo.Purpose.ANCHOR)

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False

    @admin.display(description="picture")
    def face(self, row: Annotation) -> SafeString:
        return thumbnail(row.photo)

    @admin.display(description="attributes")
    def probabilities(self, row: Annotation) -> SafeString | str:
        if row.status != Annotation.Status.DONE:
            return row.failure or row.status
        return reading_table(row.attributes)

    @admin.display(description="read by")
    def reader(self, row: Annotation) -> str:
        return services.as_read(row).annotator

    @admin.display(description="as it is read")
    def as_read(self, row: Annotation) -> SafeString | str:
        """Calibrated, and without what the model did not answer; before corrections."""
        if row.status != Annotation.Status.DONE:
            return row.failure or row.status
        seen = services.as_read(row).attributes
        return "as it was said" if seen == row.attributes else reading_table(seen)


def reading_table(attributes: Attributes) -> SafeString:
    """Every attribute with its probabilities, as HTML."""
    return render_to_string("admin/_reading.html", {"sections": sections(attributes)})


@admin.register(Correction)
class CorrectionAdmin(ReadOnlyAdmin):
    """All corrections; withdrawing one is an action, and can be seen afterwards."""

    list_display = (
        "face",
        "attribute",
        "says",
        "reason",
        "moderator",
        "created_at",
        "withdrawn_at",
    )
    list_display_links = ("face", "attribute")
    list_filter = ("attribute", "moderator")
    search_fields = ("photo__id", "reason")
    list_select_related = ("moderator", "photo")
    ordering = ("-created_at",)
    readonly_fields = ("face", "says")
    exclude = ("distribution",)
    actions = ("withdraw",)

    @admin.display(description="picture")
    def face(self, row: Correction) -> SafeString:
        return thumbnail(row.photo)

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
