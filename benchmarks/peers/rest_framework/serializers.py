"""The task's serializer."""

from rest_framework import serializers

from benchmarks.peers.rest_framework.models import Task


class TaskSerializer(serializers.ModelSerializer):
    """A task; the fields after `repository` are read-only."""

    class Meta:
        model = Task
        fields = [
            "id",
            "title",
            "description",
            "status",
            "priority",
            "tags",
            "due_date",
            "repository",
            "repository_url",
            "repository_description",
            "stars",
            "language",
            "archived",
            "pushed_at",
            "metadata_status",
            "metadata_fetched_at",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [*fields[fields.index("repository") + 1 :]]
