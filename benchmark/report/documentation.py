"""`python -m benchmark.report.documentation`: the keys of reports/comparison.json as Markdown."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from benchmark.common.formatting import table
from benchmark.common.statistics import Interval
from benchmark.report.schema import Comparison

PLAIN_TYPES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "any",
    Interval: "interval",
}
"""Types in the words of JSON."""


def documentation() -> str:
    """The keys of a comparison and of all that it holds, a table for each model."""
    parts = []
    for model in _models(Comparison):
        rows = [
            [f"`{name}`", _type(field.annotation), " ".join((field.description or "").split())]
            for name, field in model.model_fields.items()
        ]
        about = " ".join((model.__doc__ or "").split())
        parts.append(f"### {model.__name__}\n\n{about}\n\n{table(['Key', 'Type', 'Holds'], rows)}")
    return "\n\n".join(parts)


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """`model` and those that it holds, each once, in the order in which a reader meets them."""
    found = [model]
    for each in found:
        for field in each.model_fields.values():
            found += [inner for inner in _inner(field.annotation) if inner not in found]
    return found


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inner(argument)


def _type(annotation: Any) -> str:
    """A type in the words of JSON."""
    if annotation in PLAIN_TYPES:
        return PLAIN_TYPES[annotation]
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _type(inner[0])
    if get_origin(annotation) is tuple:
        return f"list: {_type(inner[0])}"
    if get_origin(annotation) is dict:
        return f"by name: {_type(inner[1])}"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    return (
        " or ".join(map(_type, inner))
        if inner
        else f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    )


if __name__ == "__main__":
    print(documentation())
