"""Pretrained generators in small: random weights, in the files that their packages write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

UNET = {
    "sample_size": 8,
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 2,
    "norm_num_groups": 2,
}
KL = {
    "block_out_channels": (4, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 2,
}
EULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}
TEXT = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 300,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
BIGGAN = {
    "channel_width": 4,
    "z_dim": 8,
    "class_embed_dim": 8,
    "num_classes": 5,
    "layers": [(True, 16, 8), (True, 8, 4), (False, 4, 2), (False, 2, 1)],
    "attention_layer_position": 1,
}


def kl(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**KL, **more)


def tiny() -> Any:
    from diffusers import AutoencoderTiny

    sizes = {"encoder_block_out_channels": (4, 4), "decoder_block_out_channels": (4, 4)}
    return AutoencoderTiny(**sizes, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))


def rae() -> Any:
    """Two by two tokens of 64 numbers, and pictures of 8 pixels."""
    from diffusers import AutoencoderRAE

    return AutoencoderRAE(
        encoder_hidden_size=64,
        encoder_num_hidden_layers=1,
        encoder_input_size=28,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        patch_size=4,
        latents_mean=torch.linspace(-1, 1, 64).view(64, 1, 1),
        latents_std=torch.linspace(0.5, 2, 64).view(64, 1, 1),
    )


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    folder.mkdir(exist_ok=True)
    words = ["<|startoftext|>", "<pad>", "<|endoftext|>", "a</w>", "c", "a", "t</w>"]
    words += ["at</w>", "cat</w>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\na t</w>\nc at</w>\n")
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return CLIPTokenizer(*files, model_max_length=77)


def turbo(folder: Path, prediction: str = "epsilon", sample_size: int = 8) -> Any:
    """A pipeline of Stable Diffusion: codes of 4 x 8 x 8, pictures of 16 pixels."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    return StableDiffusionPipeline(
        vae=kl(latent_channels=4),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
        tokenizer=_tokenizer(folder),
        unet=UNet2DConditionModel(**{**UNET, "sample_size": sample_size}, cross_attention_dim=8),
        scheduler=EulerDiscreteScheduler(**EULER, prediction_type=prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def turbo_xl(folder: Path) -> Any:
    """A pipeline of Stable Diffusion XL, as SDXL-Turbo has it, of the same size."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(**TEXT, projection_dim=8)
    unet = UNet2DConditionModel(
        **UNET,
        cross_attention_dim=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=2,
        projection_class_embeddings_input_dim=6 * 2 + 8,
    )
    return StableDiffusionXLPipeline(
        vae=kl(latent_channels=4, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=_tokenizer(folder),
        tokenizer_2=_tokenizer(folder),
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(**EULER),
        add_watermarker=False,
    )


def save_biggan(folder: Path) -> Any:
    """A BigGAN of 5 classes and 16 pixels: its files, and the package's module."""
    from pytorch_pretrained_biggan import BigGAN, BigGANConfig

    config = BigGANConfig(**BIGGAN)
    net = BigGAN(config)
    nn.init.ones_(net.generator.bn.weight)  # it has no values of its own
    nn.init.zeros_(net.generator.bn.bias)
    with torch.no_grad():
        for _ in range(20):  # passes of a training find the largest singular values
            net(torch.randn(2, 8), torch.eye(5)[:2], 1.0)
    net.eval()
    folder.mkdir()
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(config.to_json_string())
    return net
