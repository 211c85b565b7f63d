"""Train a generator for any network and any encoder layer: G(E(x)) ≈ x (Dosovitskiy & Brox 2016,
arXiv:1602.02644).

Four losses on the picture y = G(c), c = E(x), each relative to the spread of real pictures so that
it means the same for every network:

    image         |y - x|² / var(x)
    features      mean over the list of layers l of |φ_l(y) - φ_l(x)|² / |φ_l(x)|²,
                  or what a `Comparator`, another network, says
    decision      KL(softmax of the network's output at x ‖ the same at y), of logits of classes
    adversarial   -D(y, c), a projection discriminator with the hinge loss

The image loss sees what is blurred and the feature loss what is textured, but their gradients
differ in length by orders of magnitude from network to network; so the gradient of features and
decision at the picture is scaled to a fixed share of the image loss's (Esser et al. 2021 balance a
discriminator so), and no weight has to be tuned for a new network. The discriminator's slope is
bounded by its spectral norm and needs no such care.

Beyond DeePSiM, a share of every batch are codes that no picture has: Gaussian draws with the mean
and covariance of the batch's real codes, which is where a sampler starts. Their pictures must look
real to D and encode back to their code.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import make_grid

from invset.core.ball import send
from invset.core.products import products
from invset.files.images import ImageSet, to_float, to_uint8
from invset.nets.fast import channels_last
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.training.augment import color_jitter, random_flip, random_zoom
from invset.training.average import WarmAverage
from invset.training.checkpoint import Resumable
from invset.training.comparator import Comparator
from invset.training.discriminator import Discriminator, hinge
from invset.training.generator_settings import GeneratorSettings
from invset.training.losses import gaussian_codes, relative_error


class GeneratorTraining(Resumable):
    """A generator, its discriminator, their optimisers and averages: what a checkpoint holds.

    Args:
        network: whose codes are inverted.
        encoder: layer that gives them.
        generator: trained in place.
        discriminator: the same; not used without an adversarial loss.
        settings: how to train.
        comparator: where the feature loss looks; None: in `settings.layers` of `network`.
    """

    _parts: tuple[str, ...] = ("generator", "discriminator", "average", "optimizer", "optimizer_d")
    _counters = ("step", "seconds")

    def __init__(
        self,
        network: Network,
        encoder: str,
        generator: UpConv,
        discriminator: Discriminator,
        settings: GeneratorSettings,
        comparator: Comparator | None = None,
    ) -> None:
        s = settings
        self.network = network
        self.encoder = encoder
        self.settings = s
        self.comparator = comparator
        if comparator is not None:
            self._parts = (*self._parts, "comparator")
        own = s.layers if comparator is None else ()
        decision = [network.output] if s.decision else []
        self.layers = list(dict.fromkeys([*own, encoder, *decision]))
        self.generator = channels_last(generator.to(network.device))
        self.discriminator = channels_last(discriminator.to(network.device))
        self.average = WarmAverage(generator, s.ema)
        self.optimizer = torch.optim.Adam(
            generator.parameters(), lr=s.lr, betas=(0.5, 0.99), foreach=True
        )
        self.optimizer_d = torch.optim.Adam(
            discriminator.parameters(), lr=s.lr_discriminator, betas=(0.5, 0.99), foreach=True
        )
        self.rng = torch.Generator().manual_seed(s.seed)
        self.step = 0
        self.seconds = 0.0

    @property
    def averaged(self) -> UpConv:
        """The generator with the average of its weights: what is exported."""
        return cast(UpConv, self.average.module)

    def autocast(self) -> torch.autocast:
        return torch.autocast(
            self.network.device.type, torch.bfloat16, enabled=self.settings.autocast == "bf16"
        )

    def _set_rates(self) -> None:
        s = self.settings
        factor = (
            min(1.0, (self.step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * self.step / s.steps))
        )
        for optimizer, lr in ((self.optimizer, s.lr), (self.optimizer_d, s.lr_discriminator)):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

    def augmented(self, images: Tensor) -> Tensor:
        """8-bit pictures, with shape (B, channels, H, W), as floats on the network's device: a
        random part of each, half of them mirrored, in other colours.
        """
        x = to_float(send(images, self.network.device))  # a byte a pixel is sent, not four
        s = self.settings
        parts = random_zoom(x, s.zoom, self.rng)
        flipped = random_flip(parts, self.rng) if s.flip else parts
        return color_jitter(flipped, s.jitter, self.rng)

    def train_step(self, images: Tensor) -> dict[str, Tensor]:
        """One step of discriminator and generator on 8-bit pictures, with shape (B, channels, H,
        W).
        """
        s = self.settings
        size = len(images)
        self._set_rates()
        x = self.augmented(images).contiguous(memory_format=torch.channels_last)
        with self.autocast():
            with torch.no_grad():
                real = self.network.taps(x, self.layers)
            codes = real[self.encoder].flatten(1).float()
            codes = torch.cat([codes, gaussian_codes(codes, round(s.prior_share * size), self.rng)])
            fake = self.generator(codes)
            picture = fake.detach().float().requires_grad_()
            losses = self._losses(picture, x, real, codes)
            seen = losses["features"] + s.decision * losses["decision"] + losses["cycle"]
            (features,) = torch.autograd.grad(seen, picture, retain_graph=True)
            (image,) = torch.autograd.grad(losses["image"], picture)
            if s.adversarial:  # without, the discriminator would be computed for nothing
                adversarial, told = self._judged(x, picture, codes / self.generator.code_scale)
                losses |= told
        gradient = image + s.features * features * (
            image.norm() / features[:size].norm().clamp_min(1e-12)
        )
        if s.adversarial and self.step >= s.warmup:
            gradient = gradient + s.adversarial * adversarial
        self.optimizer.zero_grad(set_to_none=True)
        fake.backward(gradient.to(fake.dtype))
        self.optimizer.step()
        self.average.update_parameters(self.generator)
        self.step += 1
        return losses

    def _losses(
        self, picture: Tensor, x: Tensor, real: dict[str, Tensor], codes: Tensor
    ) -> dict[str, Tensor]:
        size = len(x)
        seen = self.network.taps(picture, self.layers)
        image = F.mse_loss(picture[:size], x) / x.var()
        features = self._features(picture[:size], x, seen, real)
        decision = image.new_zeros(())
        if self.settings.decision:
            p, q = (
                v[self.network.output][:size].flatten(1).float().log_softmax(1)
                for v in (real, seen)
            )
            decision = F.kl_div(q, p, reduction="batchmean", log_target=True)
        # E ends in a ReLU in most networks: the part of a drawn code below zero can't come back
        drawn = codes[size:]
        target = torch.where((real[self.encoder] >= 0).all(), drawn.clamp_min(0), drawn)
        cycle = (
            relative_error(seen[self.encoder].flatten(1)[size:], target)
            if len(target)
            else image.new_zeros(())
        )
        return {
            "image": image,
            "features": features,
            "decision": decision,
            "cycle": cycle * len(target) / size,
        }

    def _features(
        self, picture: Tensor, x: Tensor, seen: dict[str, Tensor], real: dict[str, Tensor]
    ) -> Tensor:
        """How far pictures are from photographs: in the comparator, or in `settings.layers`."""
        if self.comparator is not None:
            return self.comparator(picture, x, self.rng)
        layers = self.settings.layers
        return torch.stack([relative_error(seen[n][: len(x)], real[n]) for n in layers]).mean()

    def balance(self, images: Tensor) -> None:
        """Weigh the comparator's layers anew on 8-bit pictures, with shape (B, channels, H, W)."""
        assert self.comparator is not None
        x = self.augmented(images)
        with self.autocast():
            with torch.no_grad():
                codes = self.network.taps(x, [self.encoder])[self.encoder].flatten(1).float()
                picture = self.generator(codes).float()
            self.comparator.balance(picture, x, self.rng)

    def _judged(
        self, x: Tensor, picture: Tensor, conditions: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of the discriminator; the adversarial loss's gradient at the pictures, and both
        losses.
        """
        loss = self._step_discriminator(x, picture.detach(), conditions)
        alone, with_code = self.discriminator(picture, conditions)
        critic = -alone.mean() - with_code[: len(x)].mean()
        (gradient,) = torch.autograd.grad(critic, picture)
        return gradient, {"critic": critic, "discriminator": loss}

    def _step_discriminator(self, x: Tensor, fake: Tensor, conditions: Tensor) -> Tensor:
        size = len(x)
        alone, with_code = self.discriminator(
            torch.cat([x, fake.float()]), torch.cat([conditions[:size], conditions])
        )
        alone = alone.float()
        with_code = with_code.float()
        loss = hinge(alone[:size], alone[size:]) + hinge(
            with_code[:size], with_code[size : 2 * size]
        )
        self.optimizer_d.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer_d.step()
        return loss.detach()

    @torch.no_grad()
    @products("float32")
    def validate(self, val: ImageSet, batch_size: int = 250) -> dict[str, float]:
        """Root mean square error of pixels, relative error of codes, share of pictures that keep
        their class.
        """
        net = self.network
        taps = [self.encoder, self.network.output]
        measured = []
        shares = []
        for images in val.images.split(batch_size):
            x = to_float(send(images, net.device))
            real = net.taps(x, taps)
            y = self.averaged(real[self.encoder].flatten(1))
            seen = net.taps(y, taps)
            first, second = (one[net.output].flatten(1).argmax(1) for one in (real, seen))
            code = relative_error(seen[self.encoder], real[self.encoder])
            agree = (first == second).float().mean()
            measured.append(torch.stack([F.mse_loss(y, x), code, agree]))
            shares.append(len(x) / len(val))
        parts = torch.stack(measured, dim=1).tolist()  # one read
        pixel, code, agree = (
            sum(share * value for share, value in zip(shares, one, strict=True)) for one in parts
        )
        return {"val_rmse": math.sqrt(pixel), "val_code_error": code, "val_same_class": agree}

    @torch.no_grad()
    def pictures(self, val: ImageSet, count: int = 20) -> Tensor:
        """Originals, their reconstructions, and pictures of drawn codes: three rows of `count`, as
        one 8-bit picture.
        """
        spread = torch.linspace(0, len(val) - 1, 512).long()
        x = to_float(send(val.images[spread], self.network.device))
        codes = self.network.taps(x, [self.encoder])[self.encoder].flatten(1)
        rng = torch.Generator().manual_seed(1)
        shown = send(torch.linspace(0, 511, count).long(), x.device)
        drawn = gaussian_codes(codes, count, rng)
        rows = torch.cat([x[shown], self.averaged(codes[shown]), self.averaged(drawn)])
        return to_uint8(make_grid(rows, nrow=count, padding=2, pad_value=1.0)).cpu()
