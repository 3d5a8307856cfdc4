"""What moderators' pages share: rows to look at, thumbnails, verdicts on photos."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from profiles import links, services
from profiles.models import Photo, Profile

NO_REASON = "Say why: a photo is never taken away without a reason."
REASON_LENGTH = 200


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that people look at; whatever changes them is an action."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any | None = None
    ) -> list[str]:
        hidden = set(self.exclude or ())
        stored = [field.name for field in self.model._meta.fields]
        return [n for n in [*self.readonly_fields, *stored] if n not in hidden]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of one row, without buttons that would save nothing."""
        nothing_to_save = {
            "show_save": False,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
        }
        context = {**nothing_to_save, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)


def picture_path(photo: Photo) -> str:
    """A link that shows the photo as its owner sees it, for minutes."""
    return links.photo_path(photo.pk, viewer_id=photo.owner_id)


def thumbnail(photo: Photo) -> SafeString:
    """The photo, small."""
    return format_html(
        '<img class="thumbnail" src="{}" alt="Photo" width="72" height="72" '
        'loading="lazy">',
        picture_path(photo),
    )


def profile_link(profile_id: uuid.UUID) -> SafeString:
    """The person's page, by the first digits of their id."""
    address = reverse("admin:profiles_profile_change", args=[profile_id])
    return format_html('<a href="{}">{}</a>', address, short(profile_id))


def short(key: uuid.UUID) -> str:
    """Enough of an id to tell rows on one page apart."""
    return str(key)[:8]


def status_badge(status: str) -> SafeString:
    return format_html('<span class="status {}">{}</span>', status, status)


class ReasonForm(ActionForm):
    """The action's menu, with room to say why."""

    reason = forms.CharField(required=False, max_length=REASON_LENGTH)


class PhotoAdmin(ReadOnlyAdmin):
    """Look, approve, reject, quarantine; `annotation` adds what is seen."""

    list_display = ("picture", "key", "person", "state", "status_reason", "created_at")
    list_display_links = ("picture", "key")
    list_filter = ("status", "approval_source", "owner__gender", "owner__client")
    search_fields = ("id", "owner__id")
    ordering = ("-created_at",)
    actions = ("approve", "reject", "quarantine")
    action_form = ReasonForm
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Photo]:
        """Anchors are private: not even moderators browse them."""
        photos: QuerySet[Photo] = super().get_queryset(request)
        return photos.exclude(purpose=Photo.Purpose.ANCHOR)

    @admin.display(description="photo")
    def picture(self, photo: Photo) -> SafeString:
        return thumbnail(photo)

    @admin.display(description="id", ordering="pk")
    def key(self, photo: Photo) -> str:
        return short(photo.pk)

    @admin.display(description="person", ordering="owner_id")
    def person(self, photo: Photo) -> SafeString:
        return profile_link(photo.owner_id)

    @admin.display(description="status", ordering="status")
    def state(self, photo: Photo) -> SafeString:
        return status_badge(photo.status)

    # On many photos -------------------------------------------------------------------

    @admin.action(description="Approve: others may see it", permissions=["change"])
    def approve(self, request: HttpRequest, photos: QuerySet[Photo]) -> None:
        self._decide_all(request, photos, "approve")

    @admin.action(description="Reject: nobody may see it", permissions=["change"])
    def reject(self, request: HttpRequest, photos: QuerySet[Photo]) -> None:
        self._decide_all(request, photos, "reject")

    @admin.action(description="Quarantine: what nobody judged", permissions=["change"])
    def quarantine(self, request: HttpRequest, photos: QuerySet[Photo]) -> None:
        self._decide_all(request, photos, "quarantine")

    def _decide_all(
        self, request: HttpRequest, photos: QuerySet[Photo], decision: str
    ) -> None:
        reason = request.POST.get("reason", "").strip()
        if decision != "approve" and not reason:
            self.message_user(request, NO_REASON, messages.ERROR)
            return
        done = [p for p in photos if self._decide(request, p, decision, reason)]
        said = f"{decision.capitalize()}: {len(done)} of {len(photos)} changed."
        self.message_user(request, said)

    # On one photo ---------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "<uuid:photo_id>/decide/",
            self.admin_site.admin_view(require_POST(self.decide)),
            name="photo-decide",
        )
        return [decide, *super().get_urls()]

    def decide(self, request: HttpRequest, photo_id: uuid.UUID) -> HttpResponse:
        """Approve, reject or quarantine the photo, as its page's form says."""
        photo = get_object_or_404(self.get_queryset(request), pk=photo_id)
        decision = request.POST.get("decision", "")
        allowed = self.has_change_permission(request, photo)
        if not allowed or decision not in self.actions:
            raise PermissionDenied
        one = self.get_queryset(request).filter(pk=photo.pk)
        self._decide_all(request, one, decision)
        return self.back_to(photo)

    def back_to(self, photo: Photo) -> HttpResponseRedirect:
        address = reverse("admin:profiles_photo_change", args=[photo.pk])
        return HttpResponseRedirect(address)

    def _decide(
        self, request: HttpRequest, photo: Photo, decision: str, reason: str
    ) -> bool:
        """One decision through the service, and a line in the history."""
        if decision == "approve":
            source = Photo.ApprovalSource.MODERATOR
            changed = services.approve(photo.pk, source=source)
        elif decision == "reject":
            changed = services.reject(photo.pk, reason=reason)
        else:
            changed = services.quarantine(photo.pk, reason=reason)
        if changed:
            self.log_change(request, photo, f"{decision}: {reason or 'looks right'}")
        return changed


def photos_of(profile: Profile) -> QuerySet[Photo]:
    """A person's photos that moderators may see."""
    shown = profile.photos.exclude(purpose=Photo.Purpose.ANCHOR)
    return shown.order_by("created_at", "pk")
