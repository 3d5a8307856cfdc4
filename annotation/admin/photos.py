"""A photo with what is seen in it, and the doors to correct that."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from annotation import services
from annotation.models import Annotation
from annotation.moderation import (
    GATES_ONLY,
    CorrectionForm,
    gate_badges,
    label,
    said,
    sections,
)
from annotation.schema import BY_NAME, SCHEMA, Attribute
from profiles.models import Photo
from profiles.moderation import (
    PhotoAdmin,
    photos_of,
    picture_path,
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
        machine = photo.annotations.order_by("-updated_at").defer("features")
        return {
            "title": "Photo",
            "subtitle": None,
            "picture": picture_path(photo),
            "sections": reading
            and sections(reading.attributes, corrected=reading.corrected),
            "reader": reading and reading.annotator,
            "unread": f"{status} {failure}".strip(),
            "machine": [(row, gate_badges(row.gates)) for row in machine],
            "note": GATES_ONLY if any(map(is_gates_only, machine)) else "",
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


def is_gates_only(row: Annotation) -> bool:
    return row.status == Annotation.Status.DONE and not row.attributes


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
