from __future__ import annotations

from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    name = "annotation"
    verbose_name = "Attributes of photos"

    def ready(self) -> None:
        from annotation import checks, privacy, receivers
        from profiles.privacy import register

        register("annotation", privacy.export_annotations)
        self.wired = (checks, receivers)
