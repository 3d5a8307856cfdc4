"""manage exportopenapi: the API's OpenAPI schema on stdout, and nothing else."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.encoding import force_str
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

RENDERERS = {"yaml": OpenApiYamlRenderer, "json": OpenApiJsonRenderer}


class Command(BaseCommand):
    help = "Print the OpenAPI schema of the REST API."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=sorted(RENDERERS), default="yaml")

    def handle(self, *args: Any, **options: Any) -> None:
        generator = SchemaGenerator()  # type: ignore[no-untyped-call]
        schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        rendered = RENDERERS[options["format"]]().render(schema)
        print(force_str(rendered).rstrip("\n"))
