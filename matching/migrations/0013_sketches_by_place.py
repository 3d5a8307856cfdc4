"""Sketches beside what people declare, so that those of a place are found by one index.

An index whose build broke off is there, but invalid: so each is dropped first. An index
is read alone only where the table was vacuumed since, so that is done more often.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

GENDERS = ['woman', 'man', 'nonbinary']
PLACE = ['space', 'client', 'gender', 'latitude', 'longitude', 'birth_date', 'sought_age_min', 'sought_age_max']
VACUUM = 'autovacuum_vacuum_scale_factor', 'autovacuum_vacuum_insert_scale_factor'


def built(gender):
    name = f'person_near_{gender}'
    return [
        migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {name}', ''),
        AddIndexConcurrently(model_name='personvector', index=models.Index(
            fields=PLACE, include=['profile', 'smokes', 'sketch'],
            condition=models.Q(seeking__contains=[gender]), name=name)),
    ]


def removed(gender):
    name = f'person_place_{gender}'
    return [
        RemoveIndexConcurrently('personvector', name),
        migrations.RunSQL('', f'DROP INDEX CONCURRENTLY IF EXISTS {name}'),
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('matching', '0012_report_reason'),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0; SET lock_timeout = 0', 'RESET statement_timeout; RESET lock_timeout'),
        *(step for gender in GENDERS for step in built(gender)),
        *(step for gender in GENDERS for step in removed(gender)),
        migrations.RunSQL(
            f'ALTER TABLE matching_personvector SET ({", ".join(f"{name} = 0.02" for name in VACUUM)})',
            f'ALTER TABLE matching_personvector RESET ({", ".join(VACUUM)})'),
        migrations.RunSQL('RESET statement_timeout; RESET lock_timeout', 'SET statement_timeout = 0; SET lock_timeout = 0'),
    ]
