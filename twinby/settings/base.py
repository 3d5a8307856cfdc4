"""Complete and safe settings; `production` hardens them, `test` quickens them.

Every knob is an environment variable, read by `twinby.env` and listed in .env.example.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import django_stubs_ext

from twinby.env import env_bool, env_float, env_int, env_list, env_secret, env_text
from twinby.settings import postgres, queue, ranking, storage

django_stubs_ext.monkeypatch()  # ModelAdmin[Photo] and its like, at run time

ROOT = Path(__file__).resolve().parents[2]
DEBUG = False
PRODUCTION = False
SECRET_KEY = env_secret("TWINBY_SECRET_KEY")
ALLOWED_HOSTS = env_list("TWINBY_HOSTS", "127.0.0.1,localhost")
CSRF_TRUSTED_ORIGINS = env_list("TWINBY_ORIGINS")
PUBLIC_URL = env_text("TWINBY_URL", "http://127.0.0.1:8000")

ROOT_URLCONF = "twinby.urls"
WSGI_APPLICATION = "twinby.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "csp",
    "django_dramatiq",
    "dramatiq_crontab",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "profiles",
    "annotation",
    "matching",
    "demo",
]
MIDDLEWARE = [
    "twinby.health.answer_probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


# Databases and queues -------------------------------------------------------------

DATABASE_URL = env_secret("DATABASE_URL")
DATABASES = {"default": postgres.database(DATABASE_URL)}
REDIS_URL = env_secret("REDIS_URL") or "redis://127.0.0.1:6379/0"

# A killed worker's jobs run again after `heartbeat_timeout`. Dramatiq looks for dead
# workers on a share of its calls only; here on every one, since an idle worker makes a
# call a second for each queue: 1 in 100 would leave jobs lying for minutes. The look is
# cheap unless there is a dead one: it costs a KEYS, or one per call for as long as
# nobody works on a queue that it held jobs of.
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {
        "client": queue.client(REDIS_URL),
        "namespace": env_text("TWINBY_QUEUE_NAMESPACE", "twinby"),
        "heartbeat_timeout": 10_000,
        "maintenance_chance": 1_000_000,
    },
    "MIDDLEWARE": [
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Retries",
        "dramatiq.middleware.CurrentMessage",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "annotation.worker.CloseAnnotators",
    ],
}
DRAMATIQ_CRONTAB = {"REDIS_URL": REDIS_URL}
DRAMATIQ_AUTODISCOVER_MODULES = ["tasks"]


# Photos -----------------------------------------------------------------------------

MEDIA_ROOT = Path(env_text("TWINBY_MEDIA", str(ROOT / ".twinby" / "media")))
STORAGES = {
    "default": storage.photos(MEDIA_ROOT),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
PHOTO_MAX_BYTES = env_int("TWINBY_PHOTO_MAX_BYTES", 20_000_000, least=1)
PHOTO_MAX_PIXELS = env_int("TWINBY_PHOTO_MAX_PIXELS", 52_000_000, least=1)
PHOTOS_PER_PERSON = env_int("TWINBY_PHOTOS_PER_PERSON", 12)
ANCHORS_PER_PERSON = env_int("TWINBY_ANCHORS_PER_PERSON", 200)
ANCHOR_LIFETIME = timedelta(days=env_int("TWINBY_ANCHOR_DAYS", 30))
PHOTO_LINK_SECONDS = env_int("TWINBY_PHOTO_LINK_SECONDS", 900)


# Annotation and matching --------------------------------------------------------------

ANNOTATOR = env_text("TWINBY_ANNOTATOR", "small")
# Photos read at a time (0: the back end's own number); dollars a UTC day (0: any).
ANNOTATION_BATCH = env_int("TWINBY_ANNOTATION_BATCH", 0, least=0)
ANNOTATION_DAILY_BUDGET_USD = env_float("TWINBY_DAILY_BUDGET_USD", 0.0, least=0.0)
TRAINING_DATA = Path(env_text("TWINBY_DATA", str(ROOT.parent / "shared" / "data")))
# Weights trained on data for research only: a production check warns until this is set.
ACCEPT_RESEARCH_WEIGHTS = env_bool("TWINBY_ACCEPT_RESEARCH_WEIGHTS", default=False)
SEARCH_MAX_EXAMPLES = env_int("TWINBY_SEARCH_MAX_EXAMPLES", 5)
SEARCH_MAX_LIMIT = env_int("TWINBY_SEARCH_MAX_LIMIT", 100)
WISH_THRESHOLD = env_float("TWINBY_WISH_THRESHOLD", 0.5)
RANKING = ranking.WEIGHTS
# "name/person: arm=weight, arm=weight", or name/region; empty: nothing is tried out.
EXPERIMENT = env_text("TWINBY_EXPERIMENT")
# The log of pages shown is dropped once it is so many whole months old.
IMPRESSION_MONTHS = env_int("TWINBY_IMPRESSION_MONTHS", 13, least=1)
# A page at / to try the search without code: visitors upload without logging in, so it
# is for a machine of one's own, not for the public. `./run demo` turns it on.
DEMO_PAGE = env_bool("TWINBY_DEMO_PAGE", default=False)


# REST -------------------------------------------------------------------------------

TOKEN_LIFETIME = timedelta(seconds=env_int("TWINBY_TOKEN_SECONDS", 900))
REQUESTS_PER_MINUTE = env_int("TWINBY_REQUESTS_PER_MINUTE", 100)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["profiles.access.LiveCallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["twinby.rest.renderers.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["twinby.rest.parsers.JsonParser"],
    "DEFAULT_THROTTLE_CLASSES": ["twinby.rest.throttle.SubjectThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "twinby.rest.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
    "NUM_PROXIES": env_int("TWINBY_PROXIES", 0),
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": TOKEN_LIFETIME,
    "SIGNING_KEY": env_secret("TWINBY_JWT_KEY") or SECRET_KEY,
    "ISSUER": "twinby",
    "AUDIENCE": "twinby-api",
    "USER_ID_CLAIM": "sub",
    "AUTH_HEADER_TYPES": ("Bearer",),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "twinby",
    "DESCRIPTION": "Visual search for dating: photos in, matching people out.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/v1",
    "ENUM_NAME_OVERRIDES": {
        "Gender": "profiles.models.Gender",
        "Wish": "matching.api.asking.WISHES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "twinby.openapi.describe_problems",
    ],
}


# Pages, time, logs --------------------------------------------------------------------

LOGIN_URL = "admin:login"
STATIC_URL = "static/"
# A folder for `manage collectstatic`; without one, files are served from the apps.
STATIC_ROOT = env_text("TWINBY_STATIC") or None
STATICFILES_DIRS = [ROOT / "static"]
WHITENOISE_USE_FINDERS = True
# What explanations are said in; the catalogues are made by `manage compilephrases`.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский"), ("ko", "한국어")]
LOCALE_PATHS = [ROOT / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_text("TWINBY_LOG_LEVEL", "INFO")},
    "loggers": {
        # Else a line for every photo, and two for every beat of the clock.
        "httpx2": {"level": "WARNING"},
        "apscheduler": {"level": "WARNING"},
    },
}
