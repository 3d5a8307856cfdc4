"""Columns that a full table gets in no time: none is rewritten, none is scanned."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0001_initial'),
        ('profiles', '0002_photo_sha256'),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('backend', models.CharField(max_length=20)),
                ('model', models.CharField(max_length=100)),
                ('provider', models.CharField(blank=True, max_length=40)),
                ('retry', models.PositiveIntegerField(default=0)),
                ('outcome', models.CharField(max_length=100)),
                ('tokens_in', models.PositiveIntegerField(default=0)),
                ('tokens_out', models.PositiveIntegerField(default=0)),
                ('gpu_seconds', models.FloatField(default=0)),
                ('seconds', models.FloatField(default=0)),
                ('cost_usd', models.DecimalField(decimal_places=8, default=0, max_digits=12)),
                ('created_at', models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='DayCost',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('cost_usd', models.DecimalField(decimal_places=8, max_digits=16)),
            ],
        ),
        migrations.CreateModel(
            name='Calibration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('backend', models.CharField(max_length=20)),
                ('model', models.CharField(max_length=100)),
                ('prompt_version', models.CharField(blank=True, max_length=32)),
                ('schema_version', models.CharField(max_length=16)),
                ('version', models.CharField(max_length=16)),
                ('method', models.CharField(max_length=16)),
                ('content', models.JSONField()),
                ('metrics', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('activated_at', models.DateTimeField(blank=True, null=True)),
                ('is_active', models.BooleanField(default=False)),
            ],
        ),
        migrations.AddConstraint(
            model_name='calibration',
            constraint=models.UniqueConstraint(fields=('backend', 'model', 'prompt_version', 'schema_version', 'version'), name='calibration_once_per_content'),
        ),
        migrations.AddConstraint(
            model_name='calibration',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('backend', 'model', 'prompt_version', 'schema_version'), name='calibration_one_active'),
        ),
        # Last in the transaction: readers of the table wait from here on, which is short.
        migrations.AddField(
            model_name='annotation',
            name='lease',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='annotation',
            name='leased_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='annotation',
            name='mass',
            field=models.JSONField(db_default={}, default=dict),
        ),
        migrations.AddField(
            model_name='annotation',
            name='tries',
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='annotation',
            name='alone',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='annotation',
            name='gated',
            field=models.BooleanField(db_default=True, default=True),
        ),
    ]
