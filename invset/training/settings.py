"""Checks of the settings of a training run: what makes no sense is said before the first step, not
in the tenth epoch.
"""

from __future__ import annotations

from invset.errors import InvsetError


def at_least(low: int, settings: object, *names: str) -> None:
    """Each of these settings must be `low` or more.

    Raises:
        InvsetError: one isn't.
    """
    for name in names:
        if not getattr(settings, name) >= low:
            raise InvsetError(f"{name} must be at least {low}, not {getattr(settings, name)}")


def positive(settings: object, *names: str) -> None:
    """Each of these settings must be above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise InvsetError(f"{name} must be above 0, not {getattr(settings, name)}")


def below_one(settings: object, *names: str) -> None:
    """Each of these settings must be in [0, 1)."""
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise InvsetError(
                f"{name} must be at least 0 and below 1, not {getattr(settings, name)}"
            )


def check_autocast(value: object) -> None:
    """``autocast`` must be "bf16" or "off"."""
    if value not in ("bf16", "off"):
        quotes = (
            "; in a YAML file put off into quotes, because off without quotes means false there"
            if value is False
            else ""
        )
        raise InvsetError(f'autocast must be "bf16" or "off", not {value!r}{quotes}')
