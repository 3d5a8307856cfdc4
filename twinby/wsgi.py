"""The door of the web server."""

from __future__ import annotations

import gc
import logging
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
# OpenBLAS's threaded routines take half a megabyte of stack, which a web server's small
# threads may not have: that ends the process. Requests run side by side anyway.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

application = get_wsgi_application()

if settings.PUBLIC_URL.startswith("https:") and not settings.PRODUCTION:
    logging.getLogger(__name__).warning(
        "TWINBY_URL is https, yet these settings are not hardened for the public: "
        "set DJANGO_SETTINGS_MODULE=twinby.settings.production"
    )

# What is loaded by now, all doors included, lives as long as the process. To look it
# over for garbage takes a tenth of a second, now and then, of somebody's request.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
