"""The task."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone


class Task(models.Model):
    """A task, and the metadata of its repository."""

    class Status(models.TextChoices):
        OPEN = "open"
        IN_PROGRESS = "in_progress"
        DONE = "done"

    class Priority(models.TextChoices):
        LOW = "low"
        NORMAL = "normal"
        HIGH = "high"

    title = models.CharField(max_length=200, validators=[RegexValidator(r"^[^\r\n]*\Z")])
    description = models.TextField(null=True, blank=True, max_length=10_000)
    status = models.CharField(max_length=20, choices=Status, default=Status.OPEN)
    priority = models.CharField(max_length=20, choices=Priority, default=Priority.NORMAL)
    tags = ArrayField(models.CharField(max_length=50), size=20, default=list, blank=True)
    due_date = models.DateField(null=True, blank=True)
    repository = models.CharField(
        max_length=140,
        validators=[RegexValidator(r"^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}\Z")],
    )
    repository_id = models.BigIntegerField(null=True)
    repository_url = models.TextField(null=True)
    repository_description = models.TextField(null=True)
    stars = models.BigIntegerField(null=True)
    language = models.TextField(null=True)
    archived = models.BooleanField(null=True)
    pushed_at = models.DateTimeField(null=True)
    metadata_status = models.CharField(max_length=20, default="current")
    metadata_fetched_at = models.DateTimeField(null=True, default=timezone.now)
    version = models.BigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "rest_framework_tasks"
        db_table = "tasks"
        indexes = [models.Index(fields=["created_at", "id"]), models.Index(fields=["status"])]
