from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AnnotationConfig(AppConfig):
    name = "annotation"
    verbose_name = "Attributes of photos"

    def ready(self) -> None:
        from annotation import checks, moderators, privacy, receivers
        from profiles.privacy import register

        register("annotation", privacy.export_annotations)
        self.wired = (checks, receivers)
        post_migrate.connect(moderators.ensure_group, sender=self)
