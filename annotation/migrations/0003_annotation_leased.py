from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0002_leases_ledger_calibration'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='annotation',
            index=models.Index(condition=models.Q(('lease__isnull', False), ('status', 'pending')), fields=['leased_until'], name='annotation_leased'),
        ),
    ]
