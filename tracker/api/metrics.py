"""View of the metrics, and the measurement of each request."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from time import perf_counter
from typing import Any

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric
from prometheus_client.core import GaugeMetricFamily

from ..metrics import (
    REQUEST_DURATION,
    REQUESTS,
    REQUESTS_IN_FLIGHT,
    Families,
    exposition,
    sample_from,
)
from .examples import METRICS_EXAMPLE
from .failures import REQUEST, errors
from .parsing import Blueprint
from .tasks import github

metrics = Blueprint("metrics", __name__, description="Metrics")

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"  # the label of an unknown method or path: anyone can send any number of these


@metrics.route("/metrics", methods=["GET"])
@metrics.response(200, {"type": "string"}, content_type="text/plain", example=METRICS_EXAMPLE)
@errors(*REQUEST)
def get_metrics() -> Response:
    """Get the service's metrics for Prometheus

    Those of all worker processes, in Prometheus' text format.
    """
    body = exposition(Families(rate_limit_metrics))
    return Response(body, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def rate_limit_metrics() -> Iterable[Metric]:
    """Return GitHub's rate limit as it was told last; nothing if GitHub has told none."""
    if not (status := github.rate_limit_status()):
        return
    name, text = "tracker_github_rate_limit", "GitHub's rate limit of the service's token"
    yield GaugeMetricFamily(name, f"{text}, in calls.", status.limit)
    yield GaugeMetricFamily(f"{name}_remaining", f"{text}: calls that remain.", status.remaining)
    resets_at = status.resets_at.timestamp()
    yield GaugeMetricFamily(
        f"{name}_reset_timestamp_seconds", f"{text}: when it is whole again.", resets_at
    )


def init_app(app: Flask) -> None:
    """Measure each request."""
    app.wsgi_app = measured = Measured(app.wsgi_app)  # type: ignore[method-assign]
    sample_from(REQUESTS_IN_FLIGHT, lambda: measured.in_flight)


class Measured:
    """WSGI middleware that counts requests, and measures the time until a response starts."""

    def __init__(self, wsgi_app: Any) -> None:
        self._wsgi_app = wsgi_app
        self.in_flight = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application."""
        started = perf_counter()

        def start(status: str, *args: Any) -> Any:
            # werkzeug puts its request there; it has a rule if the path and the method match one.
            rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            labels = (_known_method(environ), rule and rule.rule)
            _observer(*labels)(perf_counter() - started)
            _counter(*labels, status[:3])()
            return start_response(status, *args)

        self.in_flight += 1
        try:
            return self._wsgi_app(environ, start)
        finally:
            self.in_flight -= 1


def _known_method(environ: dict[str, Any]) -> str:
    method: str = environ["REQUEST_METHOD"]
    return method if method in METHODS else OTHER


@cache
def _observer(method: str, rule: str | None) -> Callable[[float], None]:
    """Return the function that observes a duration: to find it takes longer than its call."""
    return REQUEST_DURATION.labels(method, _route(rule)).observe


@cache
def _counter(method: str, rule: str | None, status: str) -> Callable[[], None]:
    return REQUESTS.labels(method, _route(rule), status).inc


def _route(rule: str | None) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) if rule else OTHER
