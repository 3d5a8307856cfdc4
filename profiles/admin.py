"""Moderators' view of people and photos: look, approve, reject, block."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from profiles import links, services
from profiles.models import Client, Photo, Profile

REJECTED_BY_MODERATOR = "rejected by a moderator"


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
        return [field.name for field in self.model._meta.fields] + list(
            self.readonly_fields
        )


def thumbnail(photo: Photo) -> SafeString:
    """The photo, small, by a link good for its owner's view only and for minutes."""
    return format_html(
        '<img src="{}" alt="" width="96">',
        links.photo_path(photo.pk, viewer_id=photo.owner_id),
    )


@admin.register(Client)
class ClientAdmin(admin.ModelAdmin[Client]):
    list_display = ("name", "active", "created_at")
    readonly_fields = ("id", "name", "created_at")
    fields = ("id", "name", "active", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `./run manage createclient` shows the secret once


class PhotoInline(admin.TabularInline[Photo, Profile]):
    model = Photo
    fields = readonly_fields = ("picture", "purpose", "status", "status_reason")
    extra = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Photo]:
        """Anchors are private: not even moderators browse them."""
        return super().get_queryset(request).exclude(purpose=Photo.Purpose.ANCHOR)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="photo")
    def picture(self, photo: Photo) -> SafeString:
        return thumbnail(photo)


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = ("id", "gender", "birth_date", "status", "photo_count", "synthetic")
    list_filter = ("status", "gender", "synthetic", "client")
    search_fields = ("id",)
    inlines = (PhotoInline,)
    actions = ("block", "unblock")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Profile]:
        people: QuerySet[Profile] = super().get_queryset(request)
        return people.annotate(photo_count=Count("photos")).order_by("-created_at")

    @admin.display(description="photos", ordering="photo_count")
    def photo_count(self, profile: Any) -> int:
        return int(profile.photo_count)

    @admin.action(description="Block: take out of every search", permissions=["change"])
    def block(self, request: HttpRequest, people: QuerySet[Profile]) -> None:
        for profile in people:
            services.block_profile(profile)

    @admin.action(description="Unblock", permissions=["change"])
    def unblock(self, request: HttpRequest, people: QuerySet[Profile]) -> None:
        for profile in people.filter(status=Profile.Status.BLOCKED):
            services.unblock_profile(profile)


class PhotoAdmin(ReadOnlyAdmin):
    """Registered by `annotation.admin`, which adds what is seen in the photo."""

    list_display = ("picture", "id", "owner", "status", "approval_source", "created_at")
    list_filter = ("status", "approval_source")
    list_select_related = ("owner",)
    search_fields = ("id", "owner__id")
    ordering = ("-created_at",)
    readonly_fields: ClassVar[tuple[str, ...]] = ("picture",)
    actions = ("approve", "reject")
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Photo]:
        """Anchors are private: not even moderators browse them."""
        photos: QuerySet[Photo] = super().get_queryset(request)
        return photos.exclude(purpose=Photo.Purpose.ANCHOR)

    @admin.display(description="photo")
    def picture(self, photo: Photo) -> SafeString:
        return thumbnail(photo)

    @admin.action(description="Approve: others may see it", permissions=["change"])
    def approve(self, request: HttpRequest, photos: QuerySet[Photo]) -> None:
        source = Photo.ApprovalSource.MODERATOR
        done = sum(services.approve(photo.pk, source=source) for photo in photos)
        self.message_user(request, f"{done} approved.")

    @admin.action(description="Reject: nobody may see it", permissions=["change"])
    def reject(self, request: HttpRequest, photos: QuerySet[Photo]) -> None:
        done = sum(
            services.reject(photo.pk, reason=REJECTED_BY_MODERATOR) for photo in photos
        )
        self.message_user(request, f"{done} rejected.")
