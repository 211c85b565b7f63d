"""Sets of samples for the tests of analyses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invset.analysis.sample_set import SampleSet
from invset.core.space import Free


def sample_set(encodings: Tensor, **other: Any) -> SampleSet:
    """Samples of one neuron with these encodings, and activations that rise from 0 to 1, the range.

    Args:
        encodings: with shape (n, d).
        other: what else is to be different.
    """
    n = len(encodings)
    zeros = torch.zeros(n, dtype=torch.long)
    plain = SampleSet(
        codes=torch.zeros(n, 2),
        encodings=encodings,
        activations=torch.linspace(0, 1, n).unsqueeze(1),
        ranges=[[(0.0, 1.0)]],
        row=zeros,
        origins=("stream",),
        origin=zeros,
        step=zeros,
        units=[("fc8", 0)],
        closest=torch.zeros(1),
        region=Free(torch.zeros(1, 2)),
        effort=None,
    )
    return replace(plain, **other)
