import django.contrib.postgres.indexes
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models

# Partitioned by month (UTC); months are made ahead by matching.partitions. What falls
# into none of them is kept in the default partition, so that nothing is ever lost.
# The primary key of a partitioned table must hold what it is partitioned by.
IMPRESSIONS = """
CREATE SEQUENCE matching_impression_id_seq;
CREATE TABLE matching_impression (
    id bigint NOT NULL DEFAULT nextval('matching_impression_id_seq'),
    page_id uuid NOT NULL,
    viewer_id uuid NOT NULL,
    person_id uuid NOT NULL,
    source varchar(6) NOT NULL,
    rank smallint NOT NULL CHECK (rank >= 0),
    score double precision NOT NULL,
    preference double precision NOT NULL,
    match_score double precision NOT NULL,
    propensity double precision,
    space varchar(32) NOT NULL,
    prior varchar(64) NOT NULL,
    method varchar(32) NOT NULL,
    calibration varchar(32) NOT NULL,
    arm varchar(64) NOT NULL,
    shown_at timestamptz NOT NULL,
    PRIMARY KEY (id, shown_at)
) PARTITION BY RANGE (shown_at);
ALTER SEQUENCE matching_impression_id_seq OWNED BY matching_impression.id;
CREATE INDEX impression_viewer ON matching_impression (viewer_id, shown_at);
CREATE INDEX impression_person ON matching_impression (person_id, shown_at);
CREATE INDEX impression_day ON matching_impression USING brin (shown_at);
CREATE TABLE matching_impression_default PARTITION OF matching_impression DEFAULT;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('matching', '0003_evaluation'),
        ('profiles', '0003_avoided'),
    ]

    operations = [
        migrations.CreateModel(
            name='Exposure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('impressions', models.PositiveIntegerField()),
                ('expected_likes', models.FloatField()),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='exposures', to='profiles.profile')),
            ],
            options={
                'indexes': [models.Index(fields=['day'], name='exposure_day')],
                'constraints': [models.UniqueConstraint(fields=('profile', 'day'), name='exposure_once_per_day')],
            },
        ),
        migrations.CreateModel(
            name='Feedback',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField()),
                ('kind', models.CharField(choices=[('like', 'Like'), ('super_like', 'Super Like'), ('pass', 'Pass'), ('block', 'Block'), ('report', 'Report'), ('message', 'Message'), ('unmatch', 'Unmatch')], max_length=10)),
                ('page_id', models.UUIDField(blank=True, null=True)),
                ('matched', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('forgotten_at', models.DateTimeField(blank=True, null=True)),
                ('actor', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='feedback_given', to='profiles.profile')),
                ('target', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='feedback_got', to='profiles.profile')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('forgotten_at__isnull', True), ('kind__in', ['like', 'super_like', 'pass']), ('withdrawn_at__isnull', True)), fields=['actor', '-id'], include=('target', 'kind', 'created_at'), name='feedback_labels'), models.Index(condition=models.Q(('withdrawn_at__isnull', True)), fields=['actor', 'target', '-id'], name='feedback_between'), models.Index(condition=models.Q(('kind', 'report')), fields=['-id'], name='feedback_reports')],
                'constraints': [models.UniqueConstraint(fields=('actor', 'event_id'), name='feedback_once_per_event'), models.CheckConstraint(condition=models.Q(('actor', models.F('target')), _negated=True), name='feedback_is_on_somebody_else')],
            },
        ),
        # Django knows no partitions: it is told of the table, and Postgres makes it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(IMPRESSIONS, "DROP TABLE matching_impression"),
            ],
            state_operations=[
                migrations.CreateModel(
                    name='Impression',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('page_id', models.UUIDField()),
                        ('source', models.CharField(choices=[('search', 'Search'), ('daily', 'Daily')], max_length=6)),
                        ('rank', models.PositiveSmallIntegerField()),
                        ('score', models.FloatField()),
                        ('preference', models.FloatField()),
                        ('match_score', models.FloatField()),
                        ('propensity', models.FloatField(null=True)),
                        ('space', models.CharField(max_length=32)),
                        ('prior', models.CharField(max_length=64)),
                        ('method', models.CharField(max_length=32)),
                        ('calibration', models.CharField(blank=True, max_length=32)),
                        ('arm', models.CharField(blank=True, max_length=64)),
                        ('shown_at', models.DateTimeField(default=django.utils.timezone.now)),
                        ('person', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='profiles.profile')),
                        ('viewer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='profiles.profile')),
                    ],
                    options={
                        'indexes': [models.Index(fields=['viewer', 'shown_at'], name='impression_viewer'), models.Index(fields=['person', 'shown_at'], name='impression_person'), django.contrib.postgres.indexes.BrinIndex(fields=['shown_at'], name='impression_day')],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='Match',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('first', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='matches_as_first', to='profiles.profile')),
                ('second', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='matches_as_second', to='profiles.profile')),
            ],
            options={
                'verbose_name_plural': 'matches',
                'indexes': [models.Index(fields=['changed_at', 'id'], name='match_news')],
                'constraints': [models.UniqueConstraint(fields=('first', 'second'), name='match_once_per_pair'), models.CheckConstraint(condition=models.Q(('first__lt', models.F('second'))), name='match_has_its_smaller_id_first')],
            },
        ),
        migrations.CreateModel(
            name='Taste',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('prior', models.CharField(max_length=64)),
                ('weights', models.BinaryField()),
                ('credits', models.BinaryField()),
                ('labels', models.PositiveIntegerField()),
                ('likes', models.PositiveIntegerField()),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tastes', to='profiles.profile')),
                ('space', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tastes', to='matching.space')),
            ],
            options={
                'indexes': [models.Index(fields=['space', 'updated_at'], name='taste_age')],
                'constraints': [models.UniqueConstraint(fields=('profile', 'space'), name='one_taste_per_person_and_space')],
            },
        ),
    ]
