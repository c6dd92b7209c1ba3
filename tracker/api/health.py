"""Health checks."""

from flask_smorest import Blueprint

from ..tasks import service
from .examples import HEALTH_EXAMPLE
from .failures import DATABASE, errors
from .schemas import HealthSchema

# Not our strict Blueprint: load balancers add parameters of their own.
health = Blueprint("health", __name__, url_prefix="/health", description="Health checks")


@health.route("/live")
@health.response(200, HealthSchema, example=HEALTH_EXAMPLE)
@health.doc(security=[])
@errors()
def get_liveness() -> dict[str, str]:
    """Check that the process responds

    Nothing else is checked: restart the process if there is no response.
    """
    return {"status": "ok"}


@health.route("/ready")
@health.response(200, HealthSchema, example=HEALTH_EXAMPLE)
@health.doc(security=[])
@errors(*DATABASE)
def get_readiness() -> dict[str, str]:
    """Check that the database is reachable and its schema current

    Send the service no requests while the response is a 503.
    """
    service.check_ready()
    return {"status": "ok"}
