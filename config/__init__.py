"""The composition root: settings, URLs, ASGI, Celery, error shapes, and the wiring of ports."""
