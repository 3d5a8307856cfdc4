"""Sketches are kept in inverted lists from now on: graphs over them are dropped.

Searches read everybody until the worker has made the lists, within the hour, or
`manage buildindexes` has. Whoever goes back builds graphs anew.
"""

from django.db import migrations

DROP = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT indexrelname FROM pg_stat_user_indexes
    WHERE relname = 'matching_personvector' AND starts_with(indexrelname, '{}')
    LOOP
        EXECUTE format('DROP INDEX %I', name);
    END LOOP;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('matching', '0010_declared_by_sought'),
    ]

    operations = [
        migrations.RunSQL(
            DROP.format('personvector_graph_'), DROP.format('personvector_lists_')
        ),
    ]
