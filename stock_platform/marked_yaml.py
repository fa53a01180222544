"""Reads a YAML file a user edits into a typed model; every error names the line and the field.

What lives here knows no particular file. The models are where they are used: `universe.py`,
`sources/files_config.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ModelT = TypeVar("ModelT", bound=BaseModel)
Path_ = tuple[str | int, ...]

_KINDS = {"tag:yaml.org,2002:timestamp": "date"}
_UNREADABLE = (ValueError, KeyError, IndexError, AttributeError, OverflowError)
"""What PyYAML stumbles over when a value only looks like one, such as 2003-02-30."""


class ConfigFileError(PlatformError):
    """A YAML file is missing or wrong; the message names the file, the line and the field."""


def load_model(path: Path, model: type[ModelT]) -> ModelT:
    """Read `path` (UTF-8 YAML, a mapping at its top) as `model`.

    Raises:
        ConfigFileError: the file is missing, is no YAML, names a key twice, or does not fit.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigFileError(f"{path} does not exist: create it or name another file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"{path} can't be read as UTF-8 text: {error}") from None
    lines: dict[Path_, int] = {(): 1}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = _plain(node, (), lines, path) if node is not None else {}
    except yaml.YAMLError as error:
        raise ConfigFileError(f"{path.name}{_invalid(error, text)}") from None
    except RecursionError:
        raise ConfigFileError(f"{path.name}: lists and mappings nested too deeply") from None
    if not isinstance(value, dict):
        raise ConfigFileError(f"{path.name} line 1: expected `name: value` lines at the top level")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # an unknown name first: it is often why another one is missing
        found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        problems = [_explain(e, lines, path, model) for e in found]
        raise ConfigFileError("; ".join(problems)) from None


def load_plain(text: str) -> Any:
    """The content of YAML that nobody has to be told about: by the C parser, ten times as fast.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def _invalid(error: yaml.YAMLError, text: str) -> str:
    """Where the text is no YAML, and why."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        return f"{where}: not valid YAML: {error.problem}"
    assert isinstance(error, yaml.reader.ReaderError)  # PyYAML has no third kind
    line = text.count("\n", 0, error.position) + 1
    return f" line {line}: not valid YAML: {error.reason} ({error.character!r})"


def _plain(
    node: yaml.Node,
    place: Path_,
    lines: dict[Path_, int],
    path: Path,
    around: tuple[yaml.Node, ...] = (),
) -> Any:
    """The node as plain Python, noting the line of every key and item in `lines`.

    `around` are the nodes it stands in.
    """
    lines.setdefault(place, node.start_mark.line + 1)
    if node in around:
        raise ConfigFileError(
            f"{path.name} line {lines[place]}, {_dotted(place)}: an alias of what it stands in: "
            "write the value itself"
        )
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in result:
                raise ConfigFileError(
                    f"{path.name} line {line}, {_dotted((*place, name))}: named a second time "
                    f"(first on line {lines[(*place, name)]}): keep one"
                )
            lines[(*place, name)] = line
            result[name] = _plain(value, (*place, name), lines, path, (*around, node))
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(item, (*place, i), lines, path, (*around, node))
            for i, item in enumerate(node.value)
        ]
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except _UNREADABLE as error:
        kind = _KINDS.get(node.tag, node.tag)
        raise ConfigFileError(
            f"{path.name} line {lines[place]}, {_dotted(place) or 'the file'}: "
            f"{node.value!r} is no {kind} ({error})"
        ) from None


def _explain(
    error: ErrorDetails, lines: dict[Path_, int], path: Path, model: type[BaseModel]
) -> str:
    place = tuple(error["loc"])
    known = place
    while known not in lines:  # a missing field, or a name pydantic adds for a union's branch
        known = known[:-1]
    where = f"{path.name} line {lines[known]}, {_dotted(place) or 'the file'}"
    if error["type"] == "extra_forbidden":
        names = _fields_at(model, place[:-1])
        near = get_close_matches(str(place[-1]), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(names)}"
        return f"{where}: unknown field: {hint}"
    if error["type"] == "missing":
        return f"{where}: missing: add it"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if isinstance(error["input"], dict | list) else f" (it says {error['input']!r})"
    return f"{where}: {message}{given}"


def _fields_at(model: type[BaseModel], place: Path_) -> list[str]:
    """The fields of the model that stands at `place` within `model`."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            for kind in _types_within(annotation):
                if issubclass(kind, BaseModel):
                    model = kind
    return sorted(model.model_fields)


def _types_within(annotation: Any) -> Iterator[type]:
    """The classes in an annotation such as `list[Model] | None`."""
    if get_args(annotation):
        for part in get_args(annotation):
            yield from _types_within(part)
    elif isinstance(annotation, type):
        yield annotation


def _dotted(place: Path_) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
