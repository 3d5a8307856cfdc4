"""What is seen in a photo, and asking for it to be read."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation import services
from profiles.access import photo_of, photos_of
from profiles.links import photo_url
from profiles.models import Photo
from profiles.services import delete_photo
from twinby.rest.callers import caller
from twinby.rest.strict import StrictSerializer, validated

MAX_BATCH = 1_000


class PhotoOutput(serializers.Serializer[Any]):
    """A photo's state and, once it has been read, its attributes."""

    id = serializers.UUIDField()
    purpose = serializers.CharField()
    status = serializers.CharField()
    reading = serializers.CharField(help_text="none, pending, done or failed")
    failure = serializers.CharField(help_text="why the reading failed, or empty")
    attributes = serializers.DictField(
        child=serializers.DictField(child=serializers.FloatField()), allow_null=True
    )
    corrected = serializers.ListField(child=serializers.CharField())
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)
    url = serializers.CharField(help_text="of the picture; it soon expires")


def _described(photo: Photo) -> dict[str, Any]:
    status, failure = services.reading_status(photo.pk)
    seen = services.effective_readings([photo.pk]).get(photo.pk)
    return {
        "id": photo.pk,
        "purpose": photo.purpose,
        "status": photo.status,
        "reading": status,
        "failure": failure,
        "attributes": seen.attributes if seen else None,
        "corrected": sorted(seen.corrected) if seen else [],
        "width": photo.width,
        "height": photo.height,
        "expires_at": photo.expires_at,
        "url": photo_url(photo.pk, viewer_id=photo.owner_id),
    }


class PhotoView(APIView):
    @extend_schema(responses=PhotoOutput, operation_id="get_photo")
    def get(self, request: Request, photo_id: uuid.UUID) -> Response:
        """A photo's state and attributes, to its owner and their client."""
        photo = photo_of(caller(request), photo_id)
        return Response(PhotoOutput(_described(photo)).data)

    @extend_schema(responses={204: None}, operation_id="delete_photo")
    def delete(self, request: Request, photo_id: uuid.UUID) -> Response:
        """Delete a photo or an anchor, its files and what was read from it."""
        delete_photo(photo_of(caller(request), photo_id))
        return Response(status=204)


class BatchInput(StrictSerializer):
    photo_ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MAX_BATCH
    )


class BatchOutput(serializers.Serializer[services.Requested]):
    queued = serializers.ListField(child=serializers.UUIDField())
    done = serializers.ListField(child=serializers.UUIDField())
    unknown = serializers.ListField(child=serializers.UUIDField())


class ProcessBatchView(APIView):
    @extend_schema(
        request=BatchInput, responses={202: BatchOutput}, operation_id="process_photos"
    )
    def post(self, request: Request) -> Response:
        """Ask for photos to be read; what is read already is not read again."""
        given = validated(BatchInput, request.data)
        ids = list(dict.fromkeys(given["photo_ids"]))
        reachable = photos_of(caller(request)).filter(pk__in=ids)
        mine = set(reachable.values_list("pk", flat=True))
        asked = services.request([pk for pk in ids if pk in mine])
        answer = services.Requested(
            queued=asked.queued,
            done=asked.done,
            unknown=[pk for pk in ids if pk not in {*asked.queued, *asked.done}],
        )
        return Response(BatchOutput(answer).data, status=202)
