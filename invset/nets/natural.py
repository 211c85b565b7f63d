"""Files of natural regions (`CodePrior`), as ``invset fit prior`` writes them and generators read
them.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.reading import reading
from invset.files.tensors import read_tensors, write_tensors

PARTS = tuple(field.name for field in fields(CodePrior))


def save_prior(path: str | Path, prior: CodePrior) -> None:
    """Write a safetensors file: the basis in float16, the rest, which is small, in float32."""
    parts = {name: getattr(prior, name) for name in PARTS}
    write_tensors(path, {**parts, "basis": prior.basis.half()})


def read_prior(path: str | Path) -> CodePrior:
    """Read a file of `save_prior`.

    Raises:
        InvsetError: no such file, or not a prior.
    """
    tensors, _ = read_tensors(path, "prior", "prior=none")
    if set(tensors) != set(PARTS):
        raise InvsetError(
            f"{path} is not a prior: it holds {sorted(tensors)}, a prior holds {sorted(PARTS)}"
        )
    parts = {name: tensor.float() for name, tensor in tensors.items()}
    with reading(path, "a prior", "make it anew with: invset fit prior"):
        prior = CodePrior(**parts)  # which looks at their shapes
        odd = next((name for name in PARTS if not parts[name].isfinite().all()), None)
        if odd or not prior.dim:
            raise ValueError(f"look at its {odd or 'basis'}")
        return prior


def load_prior(path: str | Path | None, code_dim: int) -> CodePrior | None:
    """The natural region of a generator's codes, if a file is given.

    Args:
        path: a file of `save_prior`, or None.
        code_dim: numbers in one code of the generator.

    Raises:
        InvsetError: no such file, not a prior, or one of codes of another length.
    """
    if path is None:
        return None
    region = read_prior(path)
    if len(region.mean) != code_dim:
        raise InvsetError(
            f"{path} is a prior of codes with {len(region.mean)} numbers, but the generator's have"
            f" {code_dim}"
        )
    return region
