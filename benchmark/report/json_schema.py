"""`python -m benchmark.report.json_schema`: write docs/comparison.schema.json."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from benchmark.common.files import write_text
from benchmark.report.comparison_schema import Comparison

PATH = Path("docs/comparison.schema.json")


def json_schema() -> str:
    """Return the JSON Schema of reports/comparison.json as text, one line for each definition."""
    schema = TypeAdapter(Comparison).json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.pop("$defs")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(d)}" for name, d in definitions.items())
    return f'{json.dumps(schema)[:-1]}, "$defs": {{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    write_text(PATH, json_schema())
