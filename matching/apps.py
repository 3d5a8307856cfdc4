from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MatchingConfig(AppConfig):
    name = "matching"
    verbose_name = "Matching"

    def ready(self) -> None:
        from matching import checks, moderators, privacy, receivers
        from profiles.privacy import register

        register("matching", privacy.export_matching)
        self.wired = (checks, receivers)
        post_migrate.connect(moderators.ensure_permissions, sender=self)
