"""Every address of the product on one page."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from annotation.api import PhotoView, ProcessBatchView
from demo import views
from matching.api.facets import FacetsView
from matching.api.feedback import FeedbackView, UndoView
from matching.api.matches import MatchesView, MutualMatchesView
from matching.api.preference import PreferenceView
from matching.api.search import VisualSearchView
from profiles.api.people import PeopleView, PersonView
from profiles.api.photos import AnchorsView, PhotoImageView, PhotosView
from profiles.api.tokens import TokenView
from twinby import openapi
from twinby.health import LiveView, ReadyView

api: list[URLPattern | URLResolver] = [
    path("tokens", TokenView.as_view(), name="tokens"),
    path("people", PeopleView.as_view(), name="people"),
    path("people/<uuid:person_id>", PersonView.as_view(), name="person"),
    path("people/<uuid:person_id>/photos", PhotosView.as_view(), name="person-photos"),
    path(
        "people/<uuid:person_id>/preference",
        PreferenceView.as_view(),
        name="person-preference",
    ),
    path("anchors", AnchorsView.as_view(), name="anchors"),
    path("photos/process_batch", ProcessBatchView.as_view(), name="process-batch"),
    path("photos/<uuid:photo_id>", PhotoView.as_view(), name="photo"),
    path("photos/<uuid:photo_id>/image", PhotoImageView.as_view(), name="photo-image"),
    path("search/visual", VisualSearchView.as_view(), name="search-visual"),
    path("search/facets", FacetsView.as_view(), name="search-facets"),
    path("feedback", FeedbackView.as_view(), name="feedback"),
    path("feedback/<uuid:event_id>", UndoView.as_view(), name="feedback-undo"),
    path("matches", MatchesView.as_view(), name="matches"),
    path("matches/mutual", MutualMatchesView.as_view(), name="matches-mutual"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.demo, name="demo"),
    path("demo/search", views.demo_search, name="demo-search"),
    path("v1/livez", LiveView.as_view(), name="livez"),
    path("v1/readyz", ReadyView.as_view(), name="readyz"),
    path("v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "v1/docs",
        SpectacularSwaggerSplitView.as_view(url_name="schema"),
        name="docs",
    ),
    path("v1/", include(api)),
    path("admin/", admin.site.urls),
]

__all__ = ["openapi", "urlpatterns"]  # openapi registers itself on import

handler400 = "twinby.rest.problems.bad_request"
handler403 = "twinby.rest.problems.forbidden"
handler404 = "twinby.rest.problems.page_not_found"
handler500 = "twinby.rest.problems.server_error"
