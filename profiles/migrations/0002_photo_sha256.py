"""An index of photos' contents, built while everybody reads and writes.

What broke off in the middle is begun again: its index is there, but invalid.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('profiles', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", "RESET statement_timeout; RESET lock_timeout"),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS photo_sha256", ""),
        AddIndexConcurrently(
            model_name='photo',
            index=models.Index(fields=['sha256'], name='photo_sha256'),
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", "SET statement_timeout = 0; SET lock_timeout = 0"),
    ]
