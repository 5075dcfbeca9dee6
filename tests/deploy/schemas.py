"""Published schemas, and what of a manifest does not fit them."""

import gzip
import json
from pathlib import Path

import jsonschema


def published(name) -> dict:
    """Return the schema of a file in this folder as an API server applies it strictly: unknown fields are errors."""
    path = Path(__file__).with_name(f"{name}.schema.json.gz")
    return _strict(json.loads(gzip.decompress(path.read_bytes()))["schema"])


def _strict(schema):
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _strict(part) for name, part in schema.items()}
    if isinstance(found.get("properties"), dict) and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


def faults(schema, content) -> list[str]:
    """Return the messages of what does not fit."""
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(content)]
