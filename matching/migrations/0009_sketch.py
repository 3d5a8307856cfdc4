"""Graphs are built over sketches from now on: those over whole vectors are dropped.

Searches read everybody until the worker has sketched them and built new indexes, within
the hour, or `manage buildindexes` has.
"""

import pgvector.django
from django.db import migrations, models

# A vector is sketched by its space's function, as soon as there is one: index.sketches.
TRIGGER = """
CREATE FUNCTION matching_sketch() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    sketch text := 'personvector_sketch_' || NEW.space_id;
BEGIN
    IF to_regproc(sketch) IS NULL THEN
        NEW.sketch := NULL;
    ELSE
        EXECUTE format('SELECT %I($1)', sketch) INTO NEW.sketch USING NEW.vector;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER matching_sketch BEFORE INSERT OR UPDATE OF vector
ON matching_personvector FOR EACH ROW EXECUTE FUNCTION matching_sketch();

-- A page of the table holds whole rows, and a scan reads no other.
ALTER TABLE matching_personvector ALTER COLUMN sketch SET STORAGE PLAIN;
"""
# Without the functions of the spaces: whoever comes back here sketches anew.
NO_TRIGGER = """
DROP TRIGGER matching_sketch ON matching_personvector;
DROP FUNCTION matching_sketch();
DO $$
DECLARE made regprocedure;
BEGIN
    FOR made IN SELECT oid::regprocedure FROM pg_proc
    WHERE starts_with(proname, 'personvector_sketch_') AND pronamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP FUNCTION %s', made);
    END LOOP;
END $$
"""
DROP_GRAPHS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT indexrelname FROM pg_stat_user_indexes
    WHERE relname = 'matching_personvector' AND starts_with(indexrelname, 'personvector_graph_')
    LOOP
        EXECUTE format('DROP INDEX %I', name);
    END LOOP;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('matching', '0008_learned_prior'),
    ]

    operations = [
        migrations.AddField('space', 'sketch', models.BinaryField(null=True)),
        migrations.AddField('personvector', 'sketch', pgvector.django.HalfVectorField(dimensions=128, editable=False, null=True)),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
        migrations.RunSQL(DROP_GRAPHS, migrations.RunSQL.noop),
    ]
