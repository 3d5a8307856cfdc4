"""POST /v1/search/facets: how many people pass the filters, and what they show."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from matching.api.asking import FiltersInput, PersonInput, insisted
from matching.facets import facets
from profiles.access import acting_person
from twinby.rest.callers import caller
from twinby.rest.strict import validated


class FacetsInput(PersonInput):
    filters = FiltersInput(default=dict)


class FacetsOutput(serializers.Serializer[Any]):
    people = serializers.IntegerField(
        help_text="who pass every filter; of thousands, as of a moment ago"
    )
    values = serializers.DictField(
        child=serializers.IntegerField(),
        help_text='how many of them show a value, {"eyewear.glasses": 120}',
    )
    estimated = serializers.BooleanField(
        help_text="whether the values were counted in a sample and scaled"
    )


class FacetsView(APIView):
    @extend_schema(
        request=FacetsInput, responses=FacetsOutput, operation_id="search_facets"
    )
    def post(self, request: Request) -> Response:
        """Count the people a search could find, for a page that offers filters."""
        given = validated(FacetsInput, request.data)
        viewer = acting_person(caller(request), given.get("person_id"))
        found = facets(viewer, insisted(given["filters"]))
        return Response(
            {
                "people": found.people,
                "values": found.values,
                "estimated": found.estimated,
            }
        )
