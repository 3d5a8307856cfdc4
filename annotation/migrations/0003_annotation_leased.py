"""Indexes for leases, built while everybody reads and writes.

What broke off in the middle is begun again: its index is there, but invalid.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('annotation', '0002_leases_ledger_calibration'),
    ]

    operations = [
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", "RESET statement_timeout; RESET lock_timeout"),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS annotation_claim", ""),
        AddIndexConcurrently(
            model_name='annotation',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['backend', 'model', 'prompt_version', 'schema_version', 'alone', 'attempts', 'id'], name='annotation_claim'),
        ),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS annotation_leased", ""),
        AddIndexConcurrently(
            model_name='annotation',
            index=models.Index(condition=models.Q(('lease__isnull', False), ('status', 'pending')), fields=['leased_until'], name='annotation_leased'),
        ),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS annotation_ungated", ""),
        AddIndexConcurrently(
            model_name='annotation',
            index=models.Index(condition=models.Q(('gated', False)), fields=['backend', 'model', 'id'], name='annotation_ungated'),
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", "SET statement_timeout = 0; SET lock_timeout = 0"),
    ]
