"""The door of the web server."""

from __future__ import annotations

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
# OpenBLAS's threaded routines take half a megabyte of stack, which a web server's small
# threads may not have: that ends the process. Requests run side by side anyway.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

application = get_wsgi_application()

# What is loaded by now, all doors included, lives as long as the process. To look it
# over for garbage takes a tenth of a second, now and then, of somebody's request.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
