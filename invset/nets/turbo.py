"""``generator=turbo``: one step of a diffusion model that was distilled to need no more, such as
SD-Turbo and SDXL-Turbo. Its codes are N(0, I) by construction, whatever their length.

    x = σ z,   x0 = x − σ ε(x / √(σ² + 1), t, text),   picture = decoder(x0)

σ is the noise of the last training step, 14.6 of SD-Turbo, t that step, 999, and the text is fixed.
A model of prediction_type "v_prediction" gives x0 = x / (σ² + 1) − v σ / √(σ² + 1).

Reference: Sauer et al. 2023, Adversarial Diffusion Distillation, https://arxiv.org/abs/2311.17042;
the scheduler is Algorithm 2 (Euler) of Karras et al. 2022, https://arxiv.org/abs/2206.00364.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from invset.core.ball import Ball
from invset.core.context import own_context
from invset.errors import InvsetError
from invset.nets.diffusers_files import had, library, loaded, place
from invset.nets.generator import Generator, normal_start
from invset.nets.latents import CONVOLUTIONAL, Latents, autoencoder, latent_shape

#: Pipelines whose text and denoiser are known here.
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")

#: What a denoiser may predict.
PREDICTIONS = ("epsilon", "v_prediction")


class OneStep(nn.Module):
    """Codes, with shape (N, numbers), to pictures.

    Args:
        unet: the denoiser.
        latents: the autoencoder.
        scheduler: an EulerDiscreteScheduler that was set to one step.
        given: what the denoiser is told beside the noise, each for one picture: "text", with shape
            (1, tokens, numbers), and what else it asks for.
        shape: of one code: channels, height and width.
    """

    def __init__(
        self,
        unet: nn.Module,
        latents: Latents,
        scheduler: Any,
        given: Mapping[str, Tensor],
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.unet = unet
        self.latents = latents
        self.shape = shape
        self.sigma = float(scheduler.sigmas[0])
        self.start = float(scheduler.init_noise_sigma)
        self.predicts_noise = scheduler.config.prediction_type == "epsilon"
        self.register_buffer("time", scheduler.timesteps[:1].clone(), persistent=False)
        self.given = list(given)
        for name, value in given.items():
            self.register_buffer(f"given_{name}", value.float(), persistent=False)

    def denoised(self, z: Tensor) -> Tensor:
        """Latents x0 of noise z, with shape (N, channels, h, w)."""
        given = {name: self._of_all(name, len(z)) for name in self.given}
        text = given.pop("text")
        x = self.start * z
        norm = math.sqrt(self.sigma**2 + 1)
        time = self.get_buffer("time").expand(len(z))
        found = self.unet(
            x / norm, time, encoder_hidden_states=text, added_cond_kwargs=given, return_dict=False
        )[0]
        if self.predicts_noise:
            return x - self.sigma * found
        return x / norm**2 - found * self.sigma / norm

    def _of_all(self, name: str, count: int) -> Tensor:
        value = self.get_buffer(f"given_{name}")
        return value.expand(count, *value.shape[1:])

    def forward(self, codes: Tensor) -> Tensor:
        x0 = self.denoised(codes.unflatten(1, self.shape))
        # the autoencoder takes codes as a diffusion model has them
        return self.latents.decoded(x0)


@own_context()
def turbo_generator(
    weights: str,
    prompt: str = "",
    size: Any = None,
    decoder: str | None = None,
    variant: str | None = None,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """One step of a turbo model for one text.

    Args:
        weights: a folder as diffusers saves a pipeline, or a repository of huggingface.co.
        prompt: text that every picture is made for; empty: none.
        size: side of its pictures in pixels, or (height, width); None: what the model was made for.
        decoder: folder or repository of another autoencoder of the same latents, such as a small
            AutoencoderTiny; None: the model's own.
        variant: of its files, for example "fp16", which are loaded as float32; None: the plain
            ones.
        share: of all codes that the region holds.
        device: where the weights go.

    Raises:
        InvsetError: weights that can't be had, a model of another kind, or a size that does not
            fit.
    """
    weights = place(weights)
    pipeline = _pipeline(weights, decoder, variant)
    latents = Latents(pipeline.vae).without_encoder()
    scheduler = _scheduler(weights, pipeline.scheduler)
    config = pipeline.unet.config
    shape = latent_shape(latents, size or _own_side(config, latents))
    if config.in_channels != shape[0]:
        raise InvsetError(
            f"the denoiser of {weights} takes latents of {config.in_channels} channels, and its"
            f" decoder {shape[0]}; choose another generator.decoder="
        )
    with torch.no_grad(), had(weights, None, PIPELINES):
        given = _given(pipeline, prompt, latents, shape)
    module = OneStep(pipeline.unet, latents, scheduler, given, shape)
    code_dim = math.prod(shape)

    return Generator(
        module,
        code_dim,
        name="turbo",
        prior=Ball.holding(code_dim, share),
        start=normal_start(code_dim, device),
        device=device,
        in_place=True,
    )


def _pipeline(weights: str, decoder: str | None, variant: str | None) -> Any:
    """The pipeline, in float32."""
    diffusers = library()
    with had(weights, None, PIPELINES):
        kind = diffusers.DiffusionPipeline.load_config(weights)["_class_name"]
    if kind not in PIPELINES:
        raise InvsetError(
            f"{weights} is a {kind}; generator=turbo takes a {' or a '.join(PIPELINES)} that needs"
            " one step, such as stabilityai/sd-turbo"
        )
    parts: dict[str, Any] = {
        "unet": loaded(
            "UNet2DConditionModel", weights, "unet", ["UNet2DConditionModel"], variant=variant
        ),
        "vae": autoencoder(decoder or weights, None if decoder else "vae", CONVOLUTIONAL).part,
    }
    if kind == "StableDiffusionPipeline":
        parts |= dict.fromkeys(("safety_checker", "feature_extractor"))
    with had(weights, None, PIPELINES):
        return getattr(diffusers, kind).from_pretrained(
            weights, torch_dtype=torch.float32, variant=variant, **parts
        )


def _scheduler(weights: str, scheduler: Any) -> Any:
    """Euler's method in one step, from the last training step.

    Raises:
        InvsetError: the denoiser predicts something else.
    """
    if scheduler.config.prediction_type not in PREDICTIONS:
        raise InvsetError(
            f"the denoiser of {weights} predicts {scheduler.config.prediction_type};"
            f" generator=turbo takes {' and '.join(PREDICTIONS)}"
        )
    with had(weights, None, PIPELINES):
        found = library().EulerDiscreteScheduler.from_config(
            scheduler.config, timestep_spacing="trailing"
        )
        found.set_timesteps(1)
    return found


def _own_side(config: Any, latents: Latents) -> Any:
    """Side or sides in pixels that the denoiser was made for."""
    side = config.sample_size
    return side * latents.step if isinstance(side, int) else [one * latents.step for one in side]


def _given(
    pipeline: Any, prompt: str, latents: Latents, shape: tuple[int, int, int]
) -> dict[str, Tensor]:
    """What the denoiser is told beside the noise."""
    if type(pipeline).__name__ == "StableDiffusionPipeline":
        return {"text": pipeline.encode_prompt(prompt, "cpu", 1, False)[0]}
    text, _, pooled, _ = pipeline.encode_prompt(
        prompt, device="cpu", do_classifier_free_guidance=False
    )
    height, width = (side * latents.step for side in shape[1:])
    # size before cropping, where it was cropped, size after
    sizes = torch.tensor([[height, width, 0, 0, height, width]])
    return {"text": text, "text_embeds": pooled, "time_ids": sizes}
