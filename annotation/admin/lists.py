"""Lists of millions of rows: the newest first, never counted, never gone through."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from annotation.backends import BACKENDS
from profiles.moderation import ReadOnlyAdmin

NEWEST = 10_000


class NewestPaginator(Paginator[Any]):
    """Pages of the newest rows only: counting goes no further than that."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:NEWEST].count())


class LongListAdmin(ReadOnlyAdmin):
    """Machine output, as it was: nobody edits it, and there is a row per photo.

    A filter offers choices that are known beforehand: asking the table which there are
    reads all of it.
    """

    paginator = NewestPaginator
    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, under a title that says where it ends."""
        title = f"The newest {self.opts.verbose_name_plural}, {NEWEST:,} at the most"
        return super().changelist_view(
            request, {"title": title, **(extra_context or {})}
        )


class BackendFilter(admin.SimpleListFilter):
    title = "back end"
    parameter_name = "backend"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in BACKENDS]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(backend=self.value()) if self.value() else rows


def of_photo(rows: QuerySet[Any], said: str) -> QuerySet[Any]:
    """The rows of the photo whose whole id was given; by an index, or none."""
    try:
        return rows.filter(photo_id=uuid.UUID(said.strip()))
    except ValueError:
        return rows.none()
