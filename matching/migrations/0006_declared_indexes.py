"""Fill in what people had declared before, and index it, while everybody goes on.

What broke off in the middle is begun again: filling twice does no harm, and an index
whose build broke off is there, but invalid.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# People are locked while they are copied, in the order of no service; so only few.
BATCH = 1000
FILL = f"""
WITH batch AS (
    SELECT v.id AS row, p.* FROM matching_personvector v
    JOIN profiles_profile p ON p.id = v.profile_id
    WHERE v.id > %s ORDER BY v.id LIMIT {BATCH} FOR NO KEY UPDATE OF p
), filled AS (
    UPDATE matching_personvector v
    SET client = p.client_id, birth_date = p.birth_date, gender = p.gender,
        seeking = p.seeking, sought_age_min = p.sought_age_min,
        sought_age_max = p.sought_age_max, smokes = p.smokes,
        latitude = p.latitude, longitude = p.longitude
    FROM batch p WHERE v.id = p.row RETURNING v.id
)
SELECT max(id) FROM filled
"""
DECLARED = ['space', 'client', 'gender', 'birth_date', 'sought_age_min', 'sought_age_max']
PLACE = ['space', 'client', 'gender', 'latitude', 'longitude', 'birth_date', 'sought_age_min', 'sought_age_max']
# Django has no words for this condition, so only the database knows the index.
SAMPLE = """
CREATE INDEX CONCURRENTLY personvector_sample ON matching_personvector
(space_id, client, gender, birth_date)
INCLUDE (sought_age_min, sought_age_max, seeking, smokes, latitude, longitude)
WHERE id % 64 = 0
"""


def fill(apps, schema_editor):
    last = 0
    with schema_editor.connection.cursor() as cursor:
        while last is not None:
            cursor.execute(FILL, [last])
            last = cursor.fetchone()[0]


def drop(name):
    return migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {name}', '')


def add(name, fields):
    return AddIndexConcurrently(model_name='personvector', index=models.Index(fields=fields, name=name))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('matching', '0005_declared'),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0; SET lock_timeout = 0', 'RESET statement_timeout; RESET lock_timeout'),
        migrations.RunPython(fill, migrations.RunPython.noop),
        drop('personvector_declared'),
        add('personvector_declared', DECLARED),
        drop('personvector_place'),
        add('personvector_place', PLACE),
        drop('personvector_sample'),
        migrations.RunSQL(SAMPLE, 'DROP INDEX CONCURRENTLY IF EXISTS personvector_sample'),
        migrations.RunSQL('RESET statement_timeout; RESET lock_timeout', 'SET statement_timeout = 0; SET lock_timeout = 0'),
    ]
