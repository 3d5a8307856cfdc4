"""What people declare, copied beside their vectors, so that a search reads one table.

The columns come empty, without a rewrite. From here on triggers keep the copy true in
the very transaction that changes a person, whoever makes it; 0006_declared_indexes
fills in what was there before.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

GENDERS = [('woman', 'Woman'), ('man', 'Man'), ('nonbinary', 'Nonbinary')]

TRIGGERS = """
CREATE FUNCTION matching_copy_declared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT p.client_id, p.birth_date, p.gender, p.seeking, p.sought_age_min,
           p.sought_age_max, p.smokes, p.latitude, p.longitude
    INTO NEW.client, NEW.birth_date, NEW.gender, NEW.seeking, NEW.sought_age_min,
         NEW.sought_age_max, NEW.smokes, NEW.latitude, NEW.longitude
    FROM profiles_profile p WHERE p.id = NEW.profile_id;
    RETURN NEW;
END $$;

CREATE FUNCTION matching_declared_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE matching_personvector
    SET client = NEW.client_id, birth_date = NEW.birth_date, gender = NEW.gender,
        seeking = NEW.seeking, sought_age_min = NEW.sought_age_min,
        sought_age_max = NEW.sought_age_max, smokes = NEW.smokes,
        latitude = NEW.latitude, longitude = NEW.longitude
    WHERE profile_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER matching_copy_declared BEFORE INSERT ON matching_personvector
FOR EACH ROW EXECUTE FUNCTION matching_copy_declared();

CREATE TRIGGER matching_declared_changed AFTER UPDATE ON profiles_profile
FOR EACH ROW WHEN (
    (OLD.client_id, OLD.birth_date, OLD.gender, OLD.seeking, OLD.sought_age_min,
     OLD.sought_age_max, OLD.smokes, OLD.latitude, OLD.longitude)
    IS DISTINCT FROM
    (NEW.client_id, NEW.birth_date, NEW.gender, NEW.seeking, NEW.sought_age_min,
     NEW.sought_age_max, NEW.smokes, NEW.latitude, NEW.longitude)
) EXECUTE FUNCTION matching_declared_changed();
"""
NO_TRIGGERS = """
DROP TRIGGER matching_declared_changed ON profiles_profile;
DROP TRIGGER matching_copy_declared ON matching_personvector;
DROP FUNCTION matching_declared_changed();
DROP FUNCTION matching_copy_declared();
"""


def column(name, field):
    return migrations.AddField(model_name='personvector', name=name, field=field)


class Migration(migrations.Migration):

    dependencies = [
        ('matching', '0004_feedback'),
    ]

    operations = [
        column('client', models.UUIDField(editable=False, null=True)),
        column('birth_date', models.DateField(editable=False, null=True)),
        column('gender', models.CharField(blank=True, choices=GENDERS, db_default='', editable=False, max_length=10)),
        column('seeking', django.contrib.postgres.fields.ArrayField(
            base_field=models.CharField(choices=GENDERS, max_length=10), db_default=models.Value([]), editable=False, size=None)),
        column('sought_age_min', models.PositiveSmallIntegerField(editable=False, null=True)),
        column('sought_age_max', models.PositiveSmallIntegerField(editable=False, null=True)),
        column('smokes', models.BooleanField(editable=False, null=True)),
        column('latitude', models.FloatField(editable=False, null=True)),
        column('longitude', models.FloatField(editable=False, null=True)),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
    ]
