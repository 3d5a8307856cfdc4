"""Moderators' view of people and of the apps they come from."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from profiles import services
from profiles.models import Client, Photo, Profile
from profiles.moderation import ReadOnlyAdmin, short, status_badge, thumbnail
from profiles.signin import GuardedLogin

admin.site.site_header = admin.site.site_title = "twinby moderation"
admin.site.index_title = "People, photos and what is seen in them"
admin.site.site_url = "/" if settings.DEMO_PAGE else None
admin.site.login_form = GuardedLogin


@admin.register(Client)
class ClientAdmin(admin.ModelAdmin[Client]):
    list_display = ("name", "active", "created_at")
    readonly_fields = ("id", "name", "created_at")
    fields = ("id", "name", "active", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `./run manage createclient` shows the secret once


class PhotoInline(admin.TabularInline[Photo, Profile]):
    model = Photo
    fields = readonly_fields = ("picture", "state", "status_reason", "created_at")
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

    @admin.display(description="status")
    def state(self, photo: Photo) -> SafeString:
        return status_badge(photo.status)


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = (
        "faces",
        "key",
        "gender",
        "age",
        "state",
        "photo_count",
        "synthetic",
        "created_at",
    )
    list_display_links = ("faces", "key")
    list_filter = ("status", "gender", "synthetic", "client")
    search_fields = ("id",)
    ordering = ("-created_at",)
    inlines = (PhotoInline,)
    actions = ("block", "unblock")
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Profile]:
        people: QuerySet[Profile] = super().get_queryset(request)
        shown = ~Q(photos__purpose=Photo.Purpose.ANCHOR)
        return people.annotate(
            photo_count=Count("photos", filter=shown)
        ).prefetch_related("photos")

    @admin.display(description="photos")
    def faces(self, profile: Profile) -> SafeString:
        shown = [photo for photo in profile.photos.all() if not photo.is_anchor]
        if not shown:
            return format_html('<span class="no-photo">{}</span>', "none")
        return thumbnail(min(shown, key=lambda photo: photo.created_at))

    @admin.display(description="id", ordering="pk")
    def key(self, profile: Profile) -> str:
        return short(profile.pk)

    @admin.display(description="status", ordering="status")
    def state(self, profile: Profile) -> SafeString:
        return status_badge(profile.status)

    @admin.display(description="number", ordering="photo_count")
    def photo_count(self, profile: Any) -> int:
        return int(profile.photo_count)

    @admin.action(description="Block: take out of every search", permissions=["change"])
    def block(self, request: HttpRequest, people: QuerySet[Profile]) -> None:
        for profile in people:
            services.block_profile(profile)
            self.log_change(request, profile, "blocked")
        self.message_user(request, f"{len(people)} blocked.")

    @admin.action(description="Unblock", permissions=["change"])
    def unblock(self, request: HttpRequest, people: QuerySet[Profile]) -> None:
        blocked = people.filter(status=Profile.Status.BLOCKED)
        done = list(blocked)
        for profile in done:
            services.unblock_profile(profile)
            self.log_change(request, profile, "unblocked")
        self.message_user(request, f"{len(done)} unblocked.")
