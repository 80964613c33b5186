"""Prints, as JSON, one surface that users hold on to:
`python -m support.release_surface openapi|commands|settings|dags`.

It goes through the doors: the plugin that Airflow loads, typer's app, the settings class and the DAG files. So it also
runs on an older release, and does not depend on where a module is.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_TEXTS = ("description", "title", "examples", "summary", "tags", "operationId", "deprecated")


def openapi() -> dict[str, Any]:
    """Paths, methods, parameters, bodies, status codes and schemas, without texts."""
    document = _served_document()
    return {
        "paths": {
            path: {method: _operation(each) for method, each in methods.items()}
            for path, methods in document["paths"].items()
        },
        "schemas": {name: _bare(model) for name, model in document["components"]["schemas"].items()},
        "security": document["components"]["securitySchemes"],
    }


def _served_document() -> dict[str, Any]:
    """What the app that Airflow mounts answers at its own address of the document."""
    from starlette.requests import Request

    (file,) = (ROOT / "plugins").glob("*.py")
    module = _module(file)
    plugin = next(each for each in vars(module).values() if getattr(each, "name", None) == "sluice")
    (mounted,) = plugin().fastapi_apps  # the thread that it starts ends with this process
    app = mounted["app"]
    route = next(each for each in app.routes if getattr(each, "path", "").endswith("/openapi.json"))
    scope = {"type": "http", "app": app, "root_path": mounted["url_prefix"], "headers": [], "method": "GET"}
    answer = asyncio.run(route.endpoint(Request(scope)))
    return dict(json.loads(answer.body))


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = {
        "parameters": {
            f"{each['in']} {each['name']}": {"required": each.get("required", False), "schema": _bare(each["schema"])}
            for each in operation.get("parameters", ())
        },
        "responses": {
            status: {media: _bare(content.get("schema", {})) for media, content in each.get("content", {}).items()}
            for status, each in operation["responses"].items()
        },
    }
    if body := operation.get("requestBody"):
        output["body"] = {media: _bare(content["schema"]) for media, content in body["content"].items()}
        output["body_required"] = body.get("required", False)
    return output


def _bare(schema: Any, *, names: bool = False) -> Any:
    """Without texts, and with a condition that stands in `allOf` as if it stood beside it. `names`: the keys here are
    names of properties, which may be called `title`."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if not names and "allOf" in schema:
        schema = {key: value for part in (schema, *schema["allOf"]) for key, value in part.items() if key != "allOf"}
    return {
        key: _bare(value, names=key in ("properties", "$defs"))
        for key, value in sorted(schema.items())
        if names or key not in _TEXTS
    }


# --- commands ----------------------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    from typer.main import get_command

    from sluice.cli import app

    return dict(_commands(get_command(app), "sluice"))


def _commands(command: Any, name: str) -> Iterable[tuple[str, Any]]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
    yield (
        name,
        {
            "arguments": {str(place): _param(each) for place, each in enumerate(arguments)},
            "options": {name: _param(each) for each in options for name in sorted([*each.opts, *each.secondary_opts])},
        },
    )
    for own, each in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(each, f"{name} {own}")


def _param(param: Any) -> dict[str, Any]:
    output = {"default": _plain(param.default), "required": param.required, "many": param.multiple or param.nargs == -1}
    output |= _type(param)
    if param.param_type_name == "option":
        output["flag"] = param.is_flag
    return output


def _type(param: Any) -> dict[str, Any]:
    annotation = param.type_descriptor.annotation
    output: dict[str, Any] = {"type": getattr(annotation, "__name__", str(annotation))}
    output["type"] = str(annotation) if "[" in str(annotation) else output["type"]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        output = {"type": "choice", "choices": [each.value for each in annotation]}
    return output | {name: getattr(param, name) for name in ("min", "max") if getattr(param, name, None) is not None}


# --- settings ----------------------------------------------------------------------------------------------------


def settings() -> dict[str, Any]:
    from sluice.settings import Settings

    schema = Settings.model_json_schema()
    return {
        f"SLUICE_{name.upper()}": {
            "type": str(field.annotation).replace("<class '", "").replace("'>", ""),
            "default": _plain(field.get_default(call_default_factory=True)),
            "limits": _bare({key: each for key, each in schema["properties"][name].items() if key != "default"}),
        }
        for name, field in Settings.model_fields.items()
    }


# --- DAGs --------------------------------------------------------------------------------------------------------


def dags() -> dict[str, Any]:
    """Params, schedules and tasks of every DAG; the names of assets; the keys under which tasks push to XCom."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors, bag.import_errors
    return {
        "dags": {dag_id: _dag(dag) for dag_id, dag in sorted(bag.dags.items())},
        "xcom": sorted(set(_xcom_keys())),
    }


def _dag(dag: Any) -> dict[str, Any]:
    return {
        "params": {name: {"default": _plain(each.value), "schema": _param_schema(each)} for name, each in _params(dag)},
        "schedule": _schedule(dag),
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tasks": {each.task_id: _task(each) for each in dag.tasks},
    }


def _params(dag: Any) -> list[tuple[str, Any]]:
    return [(name, dag.params.get_param(name)) for name in dag.params]


def _param_schema(param: Any) -> Any:
    shown = ("description_md", "section", "values_display", "custom_html_form")
    return _bare({key: value for key, value in param.schema.items() if key not in shown})


def _schedule(dag: Any) -> Any:
    """Airflow's own form of it: cron expressions, zones and assets."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.to_dict(dag)["dag"]["timetable"]


def _task(task: Any) -> dict[str, Any]:
    return {
        "mapped": task.is_mapped or task.get_closest_mapped_task_group() is not None,
        "pool": task.pool,
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "downstream": sorted(task.downstream_task_ids),
        "inlets": sorted(map(_asset, task.inlets or ())),
        "outlets": sorted(map(_asset, task.outlets or ())),
    }


def _asset(asset: Any) -> str:
    return f"{type(asset).__name__} {asset.name} {getattr(asset, 'uri', '')}".rstrip()


def _xcom_keys() -> Iterable[str]:
    """Of every `xcom_push(key=…)` below include/ and dags/: a text, or a name that a module gives a text."""
    trees = [ast.parse(file.read_text()) for part in ("include", "dags") for file in (ROOT / part).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = [pair for node in nodes if isinstance(node, ast.Assign) for pair in _assigned(node)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "xcom_push"]
    for key in [each.value for call in calls for each in call.keywords if each.arg == "key"]:
        name = getattr(key, "id", None) or getattr(key, "attr", None)
        yield from [ast.literal_eval(key)] if name is None else [text for own, text in named if own == name]


def _assigned(node: ast.Assign) -> Iterable[tuple[str, str]]:
    for target in node.targets:
        both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
        pairs = zip(target.elts, node.value.elts, strict=True) if both else [(target, node.value)]  # type: ignore[attr-defined]
        for name, value in pairs:
            if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield name.id, value.value


# --- all ---------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(getattr(value, "value", value))


def _module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"release_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SURFACES: dict[str, Callable[[], dict[str, Any]]] = {
    "openapi": openapi,
    "commands": commands,
    "settings": settings,
    "dags": dags,
}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "include"))
    for variable in [each for each in os.environ if each.startswith(("SLUICE_", "AIRFLOW_", "OPENLINEAGE_"))]:
        del os.environ[variable]
    with tempfile.TemporaryDirectory(prefix="sluice-surface-") as home:
        os.environ["AIRFLOW_HOME"] = home
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.chdir(home)  # no `.env` of the checkout is read
        output = json.dumps(SURFACES[sys.argv[1]]())
    sys.stdout.write(output + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread of the plugin may still run
