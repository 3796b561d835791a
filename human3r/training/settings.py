"""Settings of a training run: a TOML file read into a frozen dataclass, in which unknown keys are errors."""

from __future__ import annotations

import json
import sys
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

from human3r.errors import FormatError

SettingsT = typing.TypeVar("SettingsT")
_FORMER_NAMES = {"optimiser": "optimizer", "colour_jitter": "color_jitter", "least_zoom": "min_crop"}
"""Keys of earlier TOML files, still read."""


def read_stage(path: Path) -> str:
    """Return the training stage that a TOML file names in ``stage``; files of earlier versions name it in their title.

    Raises:
        FormatError: The file is no TOML.
    """
    stage = str(_read_toml(path).get("stage", path.stem.split("_")[0]))
    return "paper" if stage == "official" else stage


def read_settings(record: type[SettingsT], path: Path | str) -> SettingsT:
    """Read a TOML file into ``record``; tables fill nested dataclasses, arrays become tuples, ``stage`` is ignored.

    Raises:
        FormatError: The file is no TOML, has a key that no setting has, or a value of another type.
    """
    path = Path(path)
    values = _read_toml(path)
    values.pop("stage", None)
    return _fill(record, values, path.name)


def _read_toml(path: Path) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports]

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path.name} is not a readable TOML file.", "See human3r/training/configs.") from error


def _fill(record: type[SettingsT], values: dict[str, object], where: str) -> SettingsT:
    values = {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
    known = {item.name for item in fields(typing.cast(typing.Any, record))}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise FormatError(f"{where} has unknown settings: {', '.join(unknown)}.", f"Known: {', '.join(sorted(known))}.")
    from pydantic import TypeAdapter, ValidationError

    hints = typing.get_type_hints(record)
    read: dict[str, object] = {}
    for name, value in values.items():
        if is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise FormatError(f"{where}: {name} must be a table of settings.")
            read[name] = _fill(hints[name], value, f"{where}, {name}")
            continue
        try:
            # Strict mode accepts an array for a tuple only from JSON.
            read[name] = TypeAdapter(hints[name]).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise FormatError(f"{where}: {name} = {value!r} does not fit. {problem}.") from error
    return record(**read)
