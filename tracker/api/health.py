"""Whether the service lives, and whether it is ready for requests."""

from tracker.api.openapi import declares
from tracker.api.parsing import Blueprint
from tracker.api.schemas import HealthSchema
from tracker.tasks import service as services

health = Blueprint("health", __name__, url_prefix="/health", description="For monitoring")

OK = {"status": "ok"}


@health.route("/live")
@health.response(200, HealthSchema)
@health.doc(security=[])
@declares()
def live() -> dict[str, str]:
    """Tell that the process answers; touches nothing else"""
    return OK


@health.route("/ready")
@health.response(200, HealthSchema)
@health.doc(security=[])
@declares(503)
def ready() -> dict[str, str]:
    """Tell that the database can be reached and its schema is current"""
    services.check_ready()
    return OK
