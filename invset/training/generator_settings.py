"""How to train a generator: the settings of ``configs/train_generator.yaml``, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invset.errors import InvsetError
from invset.training.settings import at_least, below_one, check_autocast, positive


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
            may be among them, and layers behind it, on which the network's decision depends.
        decision: weight of the decision's divergence, in nats, beside the feature loss; 0 leaves it
            out.
        zoom: smallest share of a picture's area that a random part of it has; 1 is off. Parts have
            codes that whole pictures have not, so few pictures last longer.
        jitter: how far each picture's colours are changed (`color_jitter`); 0 is off. A network's
            codes of pictures that it was trained on are tidier than those of new ones; in colours
            that it never saw they are new to it.
        adversarial: weight of the adversarial loss; 0 leaves the discriminator out.
        warmup: steps before the adversarial loss counts.
        ema: decay a step of the average of the weights that is exported.
        report_every: steps between rows of the log, validation pictures and checkpoints.
        seed: of everything random.
        autocast: "bf16" computes convolutions in bfloat16, "off" in float32.
    """

    steps: int = 20_000
    batch_size: int = 64
    prior_share: float = 0.25
    lr: float = 3e-4
    lr_discriminator: float = 4e-4
    features: float = 1.0
    layers: Sequence[str] = ("conv2", "conv3", "conv4", "conv5", "fc6")
    decision: float = 0.0
    zoom: float = 1.0
    jitter: float = 0.0
    adversarial: float = 0.05
    warmup: int = 200
    ema: float = 0.999
    report_every: int = 500
    seed: int = 0
    autocast: str = "bf16"

    def __post_init__(self) -> None:
        at_least(1, self, "steps", "report_every")
        at_least(2, self, "batch_size")
        at_least(
            0,
            self,
            "prior_share",
            "features",
            "decision",
            "jitter",
            "adversarial",
            "warmup",
            "seed",
        )
        positive(self, "lr", "lr_discriminator", "zoom")
        if self.zoom > 1:
            raise InvsetError(f"zoom must be at most 1, not {self.zoom}")
        below_one(self, "ema")
        if self.prior_share > 1:
            raise InvsetError(f"prior_share must be at most 1, not {self.prior_share}")
        if not self.layers:
            raise InvsetError(
                "layers must name at least one layer for the feature loss; features=0 leaves that"
                " loss out"
            )
        check_autocast(self.autocast)
