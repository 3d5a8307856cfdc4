"""What the machine saw, with every probability, and a moderator's word on it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from annotation import services
from annotation.models import Annotation, Attempt, Calibration, Correction
from annotation.moderation import (
    CorrectionForm,
    calibration_figure,
    label,
    said,
    sections,
)
from annotation.schema import BY_NAME, SCHEMA, Attribute, Attributes
from profiles.models import Photo
from profiles.moderation import (
    PhotoAdmin,
    ReadOnlyAdmin,
    photos_of,
    picture_path,
    thumbnail,
)
from twinby.errors import InvalidError

MAY_CORRECT = "annotation.add_correction"


@admin.register(Photo)
class AnnotatedPhotoAdmin(PhotoAdmin):
    """A photo with what is taken to be true of it, and the doors to decide on it."""

    change_form_template = "admin/photo_change_form.html"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The photo, its reading, its corrections, and its owner's other photos."""
        photo = self.get_object(request, object_id)
        seen = {} if photo is None else self._seen(request, photo)
        context = {**seen, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def _seen(self, request: HttpRequest, photo: Photo) -> dict[str, Any]:
        reading = services.effective_readings([photo.pk]).get(photo.pk)
        siblings = photos_of(photo.owner).exclude(pk=photo.pk)
        corrections = photo.corrections.select_related("moderator").order_by("-pk")
        status, failure = services.reading_status(photo.pk)
        return {
            "title": "Photo",
            "subtitle": None,
            "picture": picture_path(photo),
            "sections": reading
            and sections(reading.attributes, corrected=reading.corrected),
            "reader": reading and reading.annotator,
            "unread": f"{status} {failure}".strip(),
            "machine": photo.annotations.order_by("-updated_at").defer("features"),
            "corrections": [
                (row, label(row.attribute), said(row.distribution))
                for row in corrections
            ],
            "siblings": [(p.pk, picture_path(p), p.status) for p in siblings],
            "may_correct": request.user.has_perm(MAY_CORRECT),
            "may_decide": self.has_change_permission(request, photo),
        }

    # Correcting -----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        correct = path(
            "<uuid:photo_id>/correct/",
            self.admin_site.admin_view(self.correct),
            name="photo-correct",
        )
        return [correct, *super().get_urls()]

    def correct(self, request: HttpRequest, photo_id: uuid.UUID) -> HttpResponse:
        """Say what one attribute of the photo is; without `attribute`, choose one."""
        if not request.user.has_perm(MAY_CORRECT):
            raise PermissionDenied
        photo = get_object_or_404(self.get_queryset(request), pk=photo_id)
        if "attribute" not in request.GET:
            choices = [(a.name, label(a.name)) for a in SCHEMA]
            title = "What is to be corrected?"
            return self._page(request, photo, title=title, attributes=choices)
        form = self._form(request, photo)
        name = label(form.attribute.name)
        if form.is_valid() and record(request, photo, form):
            self.log_change(request, photo, f"corrected {name}")
            return self.back_to(photo)
        return self._page(request, photo, title=f"Correct: {name}", form=form)

    def _page(self, request: HttpRequest, photo: Photo, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": photo,
            "picture": picture_path(photo),
            **more,
        }
        return TemplateResponse(request, "admin/photo_correct.html", context)

    def _form(self, request: HttpRequest, photo: Photo) -> CorrectionForm:
        attribute: Attribute | None = BY_NAME.get(request.GET["attribute"])
        if attribute is None:
            raise Http404
        seen = services.effective_readings([photo.pk]).get(photo.pk)
        current = seen.attributes[attribute.name] if seen else None
        return CorrectionForm(attribute, current, request.POST or None)


def record(request: HttpRequest, photo: Photo, form: CorrectionForm) -> bool:
    """Hand a valid form to the service; False, with words, where it refuses."""
    try:
        services.correct(
            photo,
            attribute=form.attribute.name,
            values=form.cleaned_data["values"],
            reason=form.cleaned_data["reason"],
            moderator=request.user if request.user.is_authenticated else None,
        )
    except InvalidError as error:
        form.add_error(None, error.message)
        return False
    messages.success(request, "Corrected; the person is being indexed again.")
    return True


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
