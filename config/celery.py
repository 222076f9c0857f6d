"""The Celery application: queues, routes and the beat schedule. Messages are doorbells; rows hold the work."""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("atrium")
app.conf.update(settings.CELERY)
app.conf.task_routes = {
    "inference.tasks.generate": {"queue": "generation"},
    "knowledge.tasks.ingest": {"queue": "ingestion"},
}
app.conf.beat_schedule = {
    "sweep generations": {"task": "inference.tasks.sweep_generations", "schedule": 2.0},
    "sweep ingestion": {"task": "knowledge.tasks.sweep_ingestion", "schedule": 2.0},
    "sweep reservations": {"task": "billing.tasks.sweep_reservations", "schedule": 30.0},
    "erase expired contents": {"task": "inference.tasks.erase_expired_contents", "schedule": 3600.0},
}
app.autodiscover_tasks(["billing", "knowledge", "inference"])
