"""The views."""

from typing import Any

from django.db.models import QuerySet
from django.utils.cache import get_conditional_response
from rest_framework import mixins, viewsets
from rest_framework.filters import SearchFilter
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from benchmarks.peers.rest_framework import github
from benchmarks.peers.rest_framework.models import Task
from benchmarks.peers.rest_framework.serializers import TaskSerializer


class NewestFirst(CursorPagination):
    """Pages of tasks, the newest first."""

    ordering = ("-created_at", "-id")
    page_size = 30
    page_size_query_param = "limit"
    max_page_size = 100


class TaskViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet,
):
    """Create, list, read and update tasks."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    pagination_class = NewestFirst
    filter_backends = [SearchFilter]
    search_fields = ["title", "description"]
    http_method_names = ["get", "post", "patch"]

    def get_queryset(self) -> "QuerySet[Task]":
        tasks = super().get_queryset()
        status = self.request.query_params.get("status")
        return tasks.filter(status=status) if status else tasks

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        task = self.get_object()
        etag = f'"{task.version}"'
        not_modified = get_conditional_response(request, etag=etag)
        response = not_modified or Response(self.get_serializer(task).data)
        response.headers["ETag"] = etag
        return response

    def perform_create(self, serializer: TaskSerializer) -> None:
        serializer.save(**github.repository(serializer.validated_data["repository"]))

    def perform_update(self, serializer: TaskSerializer) -> None:
        task, name = serializer.instance, serializer.validated_data.get("repository")
        metadata = github.repository(name) if name and name != task.repository else {}
        serializer.save(**metadata, version=task.version + 1)
