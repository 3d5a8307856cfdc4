"""Benchmarks: consumers of the product that nothing imports. See README.md."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
# As the web server has it: twinby.wsgi says why.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
django.setup()
