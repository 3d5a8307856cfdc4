"""The door of the web server."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
# OpenBLAS's threaded routines take half a megabyte of stack, which a web server's small
# threads may not have: that ends the process. Requests run side by side anyway.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

application = get_wsgi_application()
