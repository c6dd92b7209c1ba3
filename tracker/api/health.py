"""Health checks."""

from ..tasks import service
from .openapi import errors
from .parsing import Blueprint
from .schemas import HealthSchema

health = Blueprint("health", __name__, url_prefix="/health", description="Health checks")


@health.route("/live")
@health.response(200, HealthSchema)
@health.doc(security=[])
@errors()
def live() -> dict[str, str]:
    """Check that the process responds"""
    return {"status": "ok"}


@health.route("/ready")
@health.response(200, HealthSchema)
@health.doc(security=[])
@errors(503)
def ready() -> dict[str, str]:
    """Check that the database is reachable and its schema current"""
    service.check_ready()
    return {"status": "ok"}
