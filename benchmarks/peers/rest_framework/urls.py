"""The routes, without trailing slashes, as ours."""

from rest_framework.routers import SimpleRouter

from benchmarks.peers.rest_framework.views import TaskViewSet

router = SimpleRouter(trailing_slash=False)
router.register("tasks", TaskViewSet)
urlpatterns = router.urls
