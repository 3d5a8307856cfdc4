"""Pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def demo(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def demo_search(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")
