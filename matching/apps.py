from __future__ import annotations

from django.apps import AppConfig


class MatchingConfig(AppConfig):
    name = "matching"
    verbose_name = "Matching"

    def ready(self) -> None:
        from matching import checks, privacy, receivers
        from profiles.privacy import register

        register("matching", privacy.export_matching)
        self.wired = (checks, receivers)
