"""Settings that change at given shares of a trial."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from pawl.techniques.changing import bounded, changeable, factor_at
from pawl.techniques.record import Settings, Technique
from pawl.techniques.stages import ChangingTechnique


class SettingsScheduleSettings(Settings):
    """Settings of `settings_schedule`."""

    changes: tuple[tuple[float, str, float], ...] = Field(
        (),
        description="share of the trial, technique.setting, and the factor on its value from then on",
        json_schema_extra={"searched": False},
    )

    @field_validator("changes")
    @classmethod
    def _known(cls, given: tuple[tuple[float, str, float], ...]) -> Any:
        # Not above: the registry imports this module.
        from pawl.techniques.registry import technique  # noqa: PLC0415

        for share, name, factor in given:
            if not 0.0 <= share < 1.0:
                raise ValueError(f"a share from 0 to 1 comes first, got {share}")
            of, _, key = name.partition(".")
            allowed = sorted(changeable(technique(of)))
            if key not in allowed:
                which = ", ".join(f"{of}.{each}" for each in allowed) or "nothing"
                raise ValueError(f"{name!r} does not change while training; of {of} {which} does")
            if not factor > 0.0:
                raise ValueError(f"a factor is a number above 0, got {factor}")
        return given


def settings_schedule(t: Technique, key: str, value: float, share: float, settings: Any) -> float:
    """Returns a setting's value at a share of the trial: its own times the latest change's factor.

    It stays within the setting's range. Changes of techniques that are not in the recipe count for
    nothing.

    Args:
        t: The technique.
        key: Its setting.
        value: As the recipe has it.
        share: Of the trial, steps taken of all.
        settings: `changes`.
    """
    factor = factor_at(settings.changes, f"{t.name}.{key}", share)
    return value if factor == 1.0 else bounded(t, key, value * factor)


TECHNIQUE = ChangingTechnique(
    name="settings_schedule",
    summary="Change settings at given shares of the trial, as population-based training found.",
    reference="Jaderberg et al., Population Based Training of Neural Networks, 2017",
    apply=settings_schedule,
    settings=SettingsScheduleSettings,
    memberwise=frozenset({"changes"}),
    searched=False,
)
