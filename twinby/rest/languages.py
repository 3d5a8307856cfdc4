"""Answers in the language that the caller's Accept-Language asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.cache import patch_vary_headers
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

ACCEPT_LANGUAGE = OpenApiParameter(
    "Accept-Language",
    str,
    OpenApiParameter.HEADER,
    description="what sentences are said in; others than these are taken as English: "
    + ", ".join(code for code, _ in settings.LANGUAGES),
)


def in_their_language(request: Request, describe: Callable[[], Any]) -> Response:
    """What `describe` gives while the caller's language is spoken, and which it is.

    One of settings.LANGUAGES; English where none of those asked for is among them.
    """
    language = translation.get_language_from_request(request)
    with translation.override(language):
        response = Response(describe())
    response["Content-Language"] = language
    patch_vary_headers(response, ["Accept-Language"])
    return response
