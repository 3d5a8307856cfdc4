"""What people declare, indexed for each gender that they seek.

An index whose build broke off is there, but invalid: so each is dropped first.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

AGES = ['birth_date', 'sought_age_min', 'sought_age_max']
KINDS = {'declared': AGES, 'place': ['latitude', 'longitude', *AGES]}


def built(kind, gender):
    name = f'person_{kind}_{gender}'
    return [
        migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {name}', ''),
        AddIndexConcurrently(model_name='personvector', index=models.Index(
            fields=['space', 'client', 'gender', *KINDS[kind]],
            condition=models.Q(seeking__contains=[gender]), name=name)),
    ]


def removed(kind):
    name = f'personvector_{kind}'
    return [
        RemoveIndexConcurrently('personvector', name),
        migrations.RunSQL('', f'DROP INDEX CONCURRENTLY IF EXISTS {name}'),
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('matching', '0009_sketch'),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0; SET lock_timeout = 0', 'RESET statement_timeout; RESET lock_timeout'),
        *(step for gender in ('woman', 'man', 'nonbinary') for kind in KINDS for step in built(kind, gender)),
        *(step for kind in KINDS for step in removed(kind)),
        migrations.RunSQL('RESET statement_timeout; RESET lock_timeout', 'SET statement_timeout = 0; SET lock_timeout = 0'),
    ]
