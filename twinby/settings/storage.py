"""Where photos are kept: a bucket of S3, or a folder that nobody else can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from twinby.env import env_text

# botocore would wait a minute, five times over; somebody waits for the photo.
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 5
ATTEMPTS: Final = 3


def photos(folder: Path) -> dict[str, Any]:
    """Django's STORAGES entry: the bucket that the environment names, else `folder`."""
    bucket = env_text("TWINBY_S3_BUCKET")
    return _s3(bucket) if bucket else _disk(folder)


def _s3(bucket: str) -> dict[str, Any]:
    from botocore.config import Config  # a quarter of a second, for a bucket only

    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": env_text("TWINBY_S3_ENDPOINT") or None,
            "region_name": env_text("TWINBY_S3_REGION") or None,
            "default_acl": None,
            "querystring_expire": 300,
            "file_overwrite": False,
            "object_parameters": {
                "ServerSideEncryption": env_text("TWINBY_S3_ENCRYPTION", "AES256")
            },
            "client_config": Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            ),
        },
    }


def _disk(folder: Path) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": folder,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    }
