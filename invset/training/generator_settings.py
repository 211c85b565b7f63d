"""How to train a generator: the settings of ``configs/train_generator.yaml``, free of torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from invset.core.options import check_options, option
from invset.errors import InvsetError


@dataclass(frozen=True)
class GeneratorSettings:
    """How to train a generator.

    Attributes:
        steps: optimiser steps of generator and discriminator.
        batch_size: pictures a step.
        prior_share: codes drawn from the Gaussian of real codes, a share of `batch_size`.
        lr: Adam's rate of the generator, cosine to zero.
        lr_discriminator: Adam's rate of the discriminator, cosine to zero.
        features: length of the feature loss's gradient at the picture, as a share of the image
            loss's.
        layers: layers of the feature loss; one that is named twice counts twice. The encoder layer
            may be among them, and layers behind it, on which the network's decision depends. With a
            comparator, its layers are compared in their place.
        decision: weight of the decision's divergence, in nats, beside the feature loss; 0 leaves it
            out.
        zoom: smallest share of a picture's area that a random part of it has; 1 is off. Parts have
            codes that whole pictures have not, so few pictures last longer.
        flip: mirror half of the pictures left to right, which digits and letters do not bear.
        jitter: how far each picture's colours are changed (`color_jitter`); 0 is off. A network's
            codes of pictures that it was trained on scatter less than those of new ones. Other
            colours make such pictures new to it.
        adversarial: weight of the adversarial loss; 0 leaves the discriminator out.
        warmup: steps before the adversarial loss counts.
        ema: decay a step of the average of the weights that is exported.
        report_every: steps between rows of the log, validation pictures and checkpoints.
        seed: of everything random.
        autocast: "bf16" computes convolutions in bfloat16, "off" in float32.
    """

    steps: int = option(20_000, at_least=1)
    batch_size: int = option(64, at_least=2)
    prior_share: float = option(0.25, at_least=0, at_most=1)
    lr: float = option(3e-4, above=0, below=math.inf)
    lr_discriminator: float = option(4e-4, above=0, below=math.inf)
    features: float = option(1.0, at_least=0, below=math.inf)
    layers: Sequence[str] = ("conv2", "conv3", "conv4", "conv5", "fc6")
    decision: float = option(0.0, at_least=0, below=math.inf)
    zoom: float = option(1.0, above=0, at_most=1)
    flip: bool = True
    jitter: float = option(0.0, at_least=0, below=math.inf)
    adversarial: float = option(0.05, at_least=0, below=math.inf)
    warmup: int = option(200, at_least=0)
    ema: float = option(0.999, at_least=0, below=1)
    report_every: int = option(500, at_least=1)
    seed: int = option(0, at_least=0)
    autocast: str = option("bf16", words=("bf16", "off"))

    def __post_init__(self) -> None:
        check_options(self, "settings")
        if not self.layers:
            raise InvsetError(
                "layers must name at least one layer for the feature loss; features=0 leaves that"
                " loss out"
            )
