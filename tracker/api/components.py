"""Components of the OpenAPI document: everything that operations share, declared once."""

import re
from enum import Enum
from typing import Any

from apispec import APISpec, BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin

from ..database.changes import ChangeKind
from ..database.models import BIGINT_MAX, MetadataStatus, Priority, Status
from ..tasks.page_queries import COUNT_MAX
from .examples import PARAMETER_EXAMPLES, PREFILLED

ENUMERATIONS: tuple[type[Enum], ...] = (Status, Priority, MetadataStatus, ChangeKind)

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "owner": {
        "description": "User or organization that owns the repository.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 39},
        "example": "pallets",
    },
    "name": {
        "description": "Name of the repository, now or formerly.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100},
        "example": "flask",
    },
    "task_id": {
        "description": "The task's `id`.",
        "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": BIGINT_MAX},
        "example": 1,
    },
}


def header(description: str, example: Any, *, required: bool = True, **schema: Any) -> Any:
    """Return a response header; `required` ones are in every response that declares them."""
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
        "example": example,
    }


HEADERS = {
    "ETag": header("Version of the task, for If-Match and If-None-Match.", '"1"'),
    "Location": header("URL of the task.", "/tasks/1"),
    "Idempotency-Replayed": header(
        "`true` if an earlier request with the key created the task.", "true", required=False
    ),
    "Link": header(
        'The next page, as `<URL>; rel="next"`, and the first one, as `<URL>; rel="first"`. '
        "It is missing if there is one page only.",
        "<http://127.0.0.1:8000/tasks?sort=-stars&limit=1&cursor=WyItc3RhcnMiLDg5MDAwLDJd>; "
        'rel="next", <http://127.0.0.1:8000/tasks?sort=-stars&limit=1>; rel="first"',
        required=False,
    ),
    "X-Total-Count": header(
        "Number of tasks that the filters select, with `total=true`.",
        6,
        required=False,
        type="integer",
        format="int64",
        minimum=0,
    ),
    "X-Total-Count-Estimated": header(
        f"`true` if X-Total-Count is an estimate of more than {COUNT_MAX:,} tasks.",
        "true",
        required=False,
    ),
    "Content-Disposition": header(
        "Name of the file, with the day in UTC.", 'attachment; filename="tasks-2030-01-31.jsonl"'
    ),
    "X-Request-ID": header(
        "ID of the request, which the log has too. It is the request's own X-Request-ID, if any.",
        "b7795bea50ceec2ed514de474aab55ff",
    ),
    "WWW-Authenticate": header("How to authenticate.", 'Bearer realm="tasks"'),
    "Accept-Patch": header(
        "Types of a PATCH's body.", "application/json, application/merge-patch+json"
    ),
    "Retry-After": header("Seconds to wait.", 1, type="integer", minimum=1),
}


class Conventions(BasePlugin):
    """apispec plugin for what each operation has: an ID, shared parameters, X-Request-ID."""

    def init_spec(self, spec: APISpec) -> None:
        """Register the headers, and have enumerations shared."""
        super().init_spec(spec)
        self.components = spec.components
        for name, component in HEADERS.items():
            spec.components.header(name, component, lazy=True)
        for plugin in spec.plugins:
            if isinstance(plugin, MarshmallowPlugin):
                converter: Any = plugin.converter
                converter.add_attribute_function(share_enumeration)

    def path_helper(
        self, path: Any = None, operations: Any = None, parameters: Any = None, **_: Any
    ) -> None:
        """Describe the parameters of a path."""
        for parameter in parameters:
            parameter.update(PATH_PARAMETERS[parameter["name"]])
        self._share(parameters)

    def operation_helper(self, path: Any = None, operations: Any = None, **kwargs: Any) -> None:
        """Complete the operations of a view, whose ID is the view's name: `listTasks`."""
        for operation in operations.values():
            name = kwargs["rule"].endpoint.rpartition(".")[2]
            operation["operationId"] = re.sub("_([a-z])", lambda found: found[1].upper(), name)
            for parameter in operation.get("parameters", []):
                name, own = parameter["name"], f"{operation['operationId']}.{parameter['name']}"
                example = PARAMETER_EXAMPLES.get(own, PARAMETER_EXAMPLES.get(name))
                if not parameter.get("required"):
                    parameter["schema"]["examples"] = [example]
                # An example of the parameter itself becomes its value in Swagger UI.
                if parameter.get("required") or name in PREFILLED.get(operation["operationId"], ()):
                    parameter["example"] = example
            self._share(operation.get("parameters", []), operation["operationId"])
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = "X-Request-ID"
            operation["responses"] = dict(sorted(operation["responses"].items()))

    def _share(self, parameters: list[Any], operation_id: str = "") -> None:
        """Replace parameters by components of their names; one that differs gets its own."""
        for index, parameter in enumerate(parameters):
            name = parameter["name"]
            if self.components.parameters.setdefault(name, parameter) != parameter:
                name = f"{operation_id}.{name}"
                self.components.parameters[name] = parameter
            parameters[index] = name


def share_enumeration(converter: Any, _field: Any, ret: dict[str, Any]) -> dict[str, str]:
    """Return a reference to the schema of an enumeration, so that clients get one type for it."""
    for enumeration in ENUMERATIONS:
        values = [member.value for member in enumeration]
        if ret.get("enum") == values:
            name, schemas = enumeration.__name__, converter.spec.components.schemas
            schemas[name] = {
                "type": ret.pop("type"),
                "enum": ret.pop("enum"),
                "description": enumeration.__doc__,
            }
            return {"$ref": f"#/components/schemas/{name}"}
    return {}
