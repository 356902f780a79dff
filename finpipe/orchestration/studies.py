"""Studies: a preset, a horizon and changes to them, under one name that is a ``variant`` partition."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finpipe.backtest.rules import Rules
    from finpipe.learning.ranker_config import RankerConfig

DEFAULT_PRESET = "top_n"
"""The preset of whoever names none, and the base of own presets that name none."""


class StudyError(ValueError):
    """A preset or an override cannot be used; the message says which and what there is."""


@dataclass(frozen=True)
class Study:
    """What a variant stands for: how to rank, and how to turn ranks into a portfolio.

    Parameters
    ----------
    variant
        Name of the study and key of its partition, e.g. ``top_n-h21``.
    preset
        The preset that it starts from.
    horizon
        Holding period and label horizon in trading days.
    """

    variant: str
    preset: str
    description: str
    horizon: int
    ranker: RankerConfig
    rules: Rules

    def to_dict(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> str:
        """Return all parameters as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Study:
        """Return the study that ``to_json`` wrote."""
        from finpipe.backtest.rules import Rules
        from finpipe.learning.ranker_config import RankerConfig

        data = json.loads(text)
        return cls(
            **(data | {"ranker": _build(RankerConfig, data["ranker"]), "rules": _build(Rules, data["rules"])})
        )


def ranker_json(config: RankerConfig, features: Sequence[str]) -> str:
    """Return how a study ranks, alone, with its ``features`` by name: all that its models depend on but the data."""
    plain = asdict(replace(config, features=tuple(features)))
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, indent=2)


def ranker_from_json(text: str) -> RankerConfig:
    """Return the configuration that ``ranker_json`` wrote."""
    from finpipe.learning.ranker_config import RankerConfig

    config: RankerConfig = _build(RankerConfig, json.loads(text))
    return config


Presets = Mapping[str, Mapping[str, Any]]

PARTS = {"base": str, "description": str, "horizon": int, "ranker": Mapping, "rules": Mapping}
"""What a preset is made of."""


def presets(own: Presets) -> dict[str, dict[str, Any]]:
    """Return every preset by name: the built-in ones, changed and added to by the user's ``own``.

    A preset that the user changes without describing it is described as changed.

    Raises
    ------
    StudyError
        An own preset starts from a base that does not exist, or is not laid out like a preset.
    """
    found = {name: dict(preset) for name, preset in _builtin_presets().items()}
    for name, changes in own.items():
        _check_layout(name, changes)
        base = changes.get("base", name if name in found else DEFAULT_PRESET)
        if base not in found:
            raise StudyError(f"preset {name!r} starts from {base!r}, which is none of {', '.join(found)}")
        found[name] = _merged(found[base], {key: value for key, value in changes.items() if key != "base"})
        if "description" not in changes:
            found[name]["description"] = f"As {base}, with changes from finpipe.toml."
    return found


def variant_name(preset: str, horizon: int | None, own: Presets, horizons: Sequence[int]) -> str:
    """Return the name of the study of ``preset`` at ``horizon`` (its own if None), e.g. ``top_n-h21``."""
    known = presets(own)
    if preset not in known:
        raise StudyError(f"there is no preset {preset!r}; there are {', '.join(known)}")
    chosen = horizon or int(known[preset]["horizon"])
    if chosen not in horizons:
        raise StudyError(
            f"horizon {chosen} is not among those that labels are made for ({', '.join(map(str, horizons))}); "
            f"add it, e.g. FINPIPE_HORIZONS={','.join(map(str, sorted({*horizons, chosen})))}"
        )
    return f"{preset}-h{chosen}"


def study(
    variant: str,
    own: Presets,
    horizons: Sequence[int],
    *,
    train_years: int = 3,
    delisting_return: float = -0.3,
) -> Study:
    """Return the study that ``variant`` names.

    Parameters
    ----------
    own
        The user's presets.
    horizons
        Horizons that labels are made for.
    train_years
        The setting of all studies; 0 stands for all years before the test year.
    delisting_return
        The setting that rules follow unless the preset has a value of its own.

    Raises
    ------
    StudyError
        The preset is unknown, a parameter of it is, or it sets what only a setting can.
    """
    from finpipe.backtest.rules import Rules
    from finpipe.learning.ranker_config import RankerConfig

    preset, separator, horizon = variant.rpartition("-h")
    if not separator or not horizon.isdigit():
        raise StudyError(f"variant {variant!r} is not of the form PRESET-hHORIZON, e.g. top_n-h21")
    if variant_name(preset, int(horizon), own, horizons) != variant:
        raise StudyError(f"variant {variant!r} is not the name of a study")
    parameters = presets(own)[preset]
    chosen = {"horizon": int(horizon)}
    for_ranker, for_rules = parameters.get("ranker", {}), parameters.get("rules", {})
    if "train_years" in for_ranker:
        raise StudyError(
            f"preset.{preset}.ranker: train_years is the same for all studies of a home; set FINPIPE_TRAIN_YEARS, or "
            "train_years at the top of finpipe.toml"
        )
    with_years = {**for_ranker, "train_years": train_years or None, **chosen}
    ranker = _build(RankerConfig, with_years, f"preset.{preset}.ranker")
    rules = _build(
        Rules, {"delisting_return": delisting_return, **for_rules, **chosen}, f"preset.{preset}.rules"
    )
    return Study(variant, preset, str(parameters.get("description", "")), int(horizon), ranker, rules)


def _check_layout(name: str, preset: Mapping[str, Any]) -> None:
    if not re.fullmatch(r"[\w.+-]+", name):
        raise StudyError(
            f"preset {name!r}: a name of letters, digits and . + - _ can stand in a partition key"
        )
    unknown = sorted(set(preset) - set(PARTS))
    if unknown:
        raise StudyError(f"preset.{name}: unknown part(s) {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part, kind in PARTS.items():
        if part in preset and not isinstance(preset[part], kind):
            wanted = {"Mapping": "a table", "int": "a number of trading days", "str": "a text"}[kind.__name__]
            raise StudyError(f"preset.{name}: {part} must be {wanted}, not {preset[part]!r}")


@cache
def _builtin_presets() -> Mapping[str, Mapping[str, Any]]:
    text = files("finpipe").joinpath("presets.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["preset"])


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _build(kind: type[Any], parameters: Mapping[str, Any], where: str = "study") -> Any:
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise StudyError(
            f"{where}: unknown parameter(s) {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    try:
        return kind(**plain)
    except (TypeError, ValueError) as error:
        raise StudyError(f"{where}: {error}") from error
