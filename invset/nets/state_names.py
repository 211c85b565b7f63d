"""Names in state dicts: what wrappers put before them comes off where the rest is certain."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from invset.errors import InvsetError

log = logging.getLogger(__name__)

#: What DataParallel, ``torch.compile``, FSDP and checkpointing put into names, at any depth.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

#: Old files lack it, and a module does without.
_COUNTER = "num_batches_tracked"


def renamed(
    state: dict[str, Tensor], names: Collection[str], path: str | Path
) -> dict[str, Tensor]:
    """A state dict by the names that a module has.

    Names that fit stay. Else names of wrappers go, and what stands before all names of the module,
    such as ``model.``; both are told, and so is what other tensors the file holds.

    Args:
        state: from a file.
        names: of the module's tensors.
        path: of the file, for messages.

    Raises:
        InvsetError: several parts of the file fit, such as a model and its mean.
    """
    wanted = {_plain(name): name for name in names if not _optional(name)}
    held = {_plain(name): name for name in state}
    certain = len(held) == len(state) and len(wanted) == sum(not _optional(one) for one in names)
    if not wanted or not certain or all(name in state for name in wanted.values()):
        return state
    fits = [before for before in _beginnings(held, wanted) if _fits(held, wanted, before)]
    if not fits:
        return state
    if len(fits) > 1:
        listed = " and ".join(f"{before}…" for before in fits)
        raise InvsetError(f"{path} holds weights that fit twice, as {listed}; save one of them")
    [before] = fits
    wanted = {_plain(name): name for name in names}
    found = {
        wanted.get(plain.removeprefix(before), plain.removeprefix(before)): state[name]
        for plain, name in held.items()
        if plain.startswith(before)
    }
    _tell(path, next(iter(state)), next(iter(found)), sorted(set(held) - _under(held, before)))
    return found


def _plain(name: str) -> str:
    """A name without those of wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _optional(name: str) -> bool:
    return name.endswith((_COUNTER, "_extra_state"))


def _beginnings(held: Collection[str], wanted: Collection[str]) -> list[str]:
    """What stands before the module's first name wherever a name ends in it; "" for nothing."""
    first = next(iter(wanted))
    return [
        name.removesuffix(first) for name in held if name == first or name.endswith(f".{first}")
    ]


def _fits(held: Collection[str], wanted: Collection[str], before: str) -> bool:
    return all(f"{before}{name}" in held for name in wanted)


def _under(held: Collection[str], before: str) -> set[str]:
    return {name for name in held if name.startswith(before)}


def _tell(path: str | Path, old: str, new: str, others: list[str]) -> None:
    more = f"; {len(others)} others, such as {others[0]}, are left out" if others else ""
    log.info("%s: %s is taken as %s, and its other names alike%s", path, old, new, more)
