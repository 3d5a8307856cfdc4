"""Uploads of photos and anchors, and the pictures themselves."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from profiles import access, links, services, storage
from profiles.ingest import DISPLAY_TYPE
from profiles.models import Photo, Profile
from twinby.errors import NotFoundError
from twinby.rest.callers import caller
from twinby.rest.parsers import PhotoFormParser
from twinby.rest.strict import StrictSerializer, validated


class UploadedPhoto(serializers.Serializer[Photo]):
    id = serializers.UUIDField()
    purpose = serializers.CharField()
    status = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)


class PhotoInput(StrictSerializer):
    file = serializers.FileField(allow_empty_file=True, max_length=300)


class AnchorInput(PhotoInput):
    person_id = serializers.UUIDField(
        required=False, help_text="required with a service token, refused otherwise"
    )


def fields(request: Request) -> dict[str, Any]:
    """A multipart body as a plain mapping; of a repeated field the last one counts."""
    return dict(request.data.items())  # type: ignore[union-attr]


def _store(owner: Profile, file: Any, purpose: Photo.Purpose) -> Response:
    data = file.read(settings.PHOTO_MAX_BYTES + 1)  # one more is refused as too large
    photo = services.add_photo(owner=owner, data=data, purpose=purpose)
    return Response(UploadedPhoto(photo).data, status=201)


class PhotosView(APIView):
    parser_classes = (PhotoFormParser,)

    @extend_schema(
        request={"multipart/form-data": PhotoInput},
        responses={201: UploadedPhoto},
        operation_id="add_photo",
    )
    def post(self, request: Request, person_id: uuid.UUID) -> Response:
        """Add a photo to a profile; it is read at once and shown once approved."""
        owner = access.person_of(caller(request), person_id)
        given = validated(PhotoInput, fields(request))
        return _store(owner, given["file"], Photo.Purpose.PROFILE)


class AnchorsView(APIView):
    parser_classes = (PhotoFormParser,)

    @extend_schema(
        request={"multipart/form-data": AnchorInput},
        responses={201: UploadedPhoto},
        operation_id="add_anchor",
    )
    def post(self, request: Request) -> Response:
        """Upload a photo to search by: seen by nobody else, deleted after 30 days."""
        given = validated(AnchorInput, fields(request))
        owner = access.acting_person(caller(request), given.get("person_id"))
        return _store(owner, given["file"], Photo.Purpose.ANCHOR)


class PhotoImageView(APIView):
    """The display rendition, by a signed link: an <img> carries no token."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: FBT001, FBT002 - DRF's signature
        """There is one picture: whoever accepts only images is no less welcome."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        parameters=[OpenApiParameter("ticket", str, required=True)],
        responses={(200, DISPLAY_TYPE): bytes},
        operation_id="get_photo_image",
        auth=[],
    )
    def get(self, request: HttpRequest, photo_id: uuid.UUID) -> HttpResponse:
        """The picture itself, for the viewer its link was made for."""
        viewer_id = links.open_ticket(request.GET.get("ticket", ""), photo_id=photo_id)
        photo = Photo.objects.filter(pk=photo_id).first()
        if photo is None or not links.may_see(photo, viewer_id):
            raise NotFoundError("There is no such photo.")
        return HttpResponse(
            storage.display_bytes(photo),
            content_type=DISPLAY_TYPE,
            headers={"Cache-Control": "private, no-store"},  # as links.may_see says
        )
