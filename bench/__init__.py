"""Benchmarks: consumers of the product that nothing imports. See README.md."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
django.setup()
