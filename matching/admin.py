"""What searches are made of, for operators: heads, spaces, people, never a vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from matching.models import (
    Evaluation,
    Feedback,
    Head,
    LearnedPrior,
    Match,
    MatchCalibration,
    PersonVector,
    Space,
)
from profiles.moderation import ReadOnlyAdmin, profile_link, short

LIKELIEST = 12


class LookOnlyAdmin(ReadOnlyAdmin):
    """Derived rows: whoever wants others changes what they are derived from."""

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False


def worth_of(headlines: Mapping[str, float]) -> str:
    """A few figures in a line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in headlines.items())


@admin.register(Head)
class HeadAdmin(LookOnlyAdmin):
    list_display = ("version", "annotator", "status", "triplets", "worth", "created_at")
    list_filter = ("status", "triplets")
    ordering = ("-created_at",)
    exclude = ("weights",)

    @admin.display(description="on people not seen")
    def worth(self, head: Head) -> str:
        return worth_of(head.metrics["headlines"])


@admin.register(Evaluation)
class EvaluationAdmin(LookOnlyAdmin):
    list_display = ("annotator", "worth", "updated_at")
    ordering = ("-updated_at",)

    @admin.display(description="on labelled photos")
    def worth(self, row: Evaluation) -> str:
        return worth_of(row.headlines)


@admin.register(LearnedPrior)
class LearnedPriorAdmin(LookOnlyAdmin):
    list_display = ("version", "seeking", "status", "raters", "space", "created_at")
    list_filter = ("status", "seeking")
    list_select_related = ("space",)
    ordering = ("-created_at",)
    exclude = ("content",)


@admin.register(MatchCalibration)
class MatchCalibrationAdmin(LookOnlyAdmin):
    list_display = ("version", "is_active", "worth", "outcomes", "activated_at")
    list_filter = ("is_active",)
    ordering = ("-created_at",)

    @admin.display(description="log-loss on outcomes not seen")
    def worth(self, row: MatchCalibration) -> str:
        return worth_of(row.metrics.get("log_loss", {}))

    @admin.display
    def outcomes(self, row: MatchCalibration) -> str:
        return str(row.metrics.get("outcomes", "-"))


@admin.register(Space)
class SpaceAdmin(LookOnlyAdmin):
    list_display = ("version", "status", "photos", "people", "created_at")
    list_filter = ("status",)
    ordering = ("-created_at",)
    exclude = ("content",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Space]:
        spaces: QuerySet[Space] = super().get_queryset(request)
        return spaces.defer("content", "sketch").annotate(people=Count("vectors"))

    @admin.display(ordering="people")
    def people(self, space: Any) -> int:
        return int(space.people)


@admin.register(PersonVector)
class PersonVectorAdmin(LookOnlyAdmin):
    list_display = ("profile", "space", "photos", "updated_at")
    list_filter = ("space",)
    list_select_related = ("space",)
    search_fields = ("profile__id",)
    ordering = ("-updated_at",)
    readonly_fields = ("seen",)
    exclude = ("vector", "presence")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PersonVector]:
        rows: QuerySet[PersonVector] = super().get_queryset(request)
        return rows.defer("vector")

    @admin.display(description="what can be seen")
    def seen(self, row: PersonVector) -> str:
        strongest = sorted(row.presence.items(), key=lambda item: -item[1])[:LIKELIEST]
        return ", ".join(f"{name} {p:.0%}" for name, p in strongest)


@admin.register(Feedback)
class ReportAdmin(LookOnlyAdmin):
    """Who reported whom; what else people say of each other is their own business."""

    list_display = (
        *("event", "reason", "reported", "reporter"),
        *("created_at", "withdrawn_at"),
    )
    list_filter = ("reason",)
    search_fields = ("=target__id", "=actor__id")
    ordering = ("-pk",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        said: QuerySet[Feedback] = super().get_queryset(request)
        return said.filter(kind=Feedback.Kind.REPORT)

    @admin.display(description="report", ordering="pk")
    def event(self, said: Feedback) -> str:
        return short(said.event_id)

    @admin.display(description="reported")
    def reported(self, said: Feedback) -> SafeString:
        return profile_link(said.target_id)

    @admin.display(description="by")
    def reporter(self, said: Feedback) -> SafeString:
        return profile_link(said.actor_id)


@admin.register(Match)
class MatchAdmin(LookOnlyAdmin):
    list_display = ("key", "one", "other", "created_at", "ended_at")
    search_fields = ("=first__id", "=second__id")
    ordering = ("-changed_at", "-pk")
    show_full_result_count = False

    @admin.display(description="id", ordering="pk")
    def key(self, match: Match) -> str:
        return short(match.pk)

    @admin.display(description="one")
    def one(self, match: Match) -> SafeString:
        return profile_link(match.first_id)

    @admin.display(description="other")
    def other(self, match: Match) -> SafeString:
        return profile_link(match.second_id)
