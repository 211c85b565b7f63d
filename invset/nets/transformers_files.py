"""What lies beside the weights of a network of transformers: how pictures are made ready, how words
become tokens, and the licence on the card.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invset.errors import InvsetError
from invset.nets.libraries import building


def processor(name: str, kind: str, weights: str | None) -> dict[str, Any]:
    """What the network's image processor says; of random weights, what those of its kind say by
    default.
    """
    from transformers import CONFIG_MAPPING
    from transformers.image_processing_base import ImageProcessingMixin

    if name not in CONFIG_MAPPING or Path(name).is_dir():
        try:
            return ImageProcessingMixin.get_image_processor_dict(name)[0]
        except OSError:
            pass
    if weights is not None:
        return {}
    made = _default_processor(kind)
    names = ("image_mean", "image_std", "resample")
    found = {one: getattr(made, one, None) for one in names}
    if found["image_mean"] is None:
        found.update(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5], resample=3)
    return found


def _default_processor(kind: str) -> Any:
    """The class of image processors that goes with a kind of network; None: there is none."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    held: Any = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind)
    held = list(held.values()) if isinstance(held, Mapping) else held
    named = [one for one in ([held] if isinstance(held, str) else held or []) if one]
    return getattr(transformers, named[0], None) if named else None


def told(name: str, weights: str | None) -> str:
    """Where the weights come from, in words, and what their card says of a licence."""
    if weights is None:
        return "random weights"
    if weights != "DEFAULT":
        return f"weights {weights}"
    card = Path(name).expanduser() / "README.md"
    if card.is_file():
        return f"weights {name}, licence {_licence(card)}"
    if Path(name).expanduser().is_dir():
        return f"weights {name}, licence not stated (no README.md)"
    try:
        from huggingface_hub import hf_hub_download

        return f"weights {name}, licence {_licence(Path(hf_hub_download(name, 'README.md')))}"
    except (OSError, ValueError):  # there may be no card, or no hub: the weights are here
        return f"weights {name}, licence: see huggingface.co/{name}"


def _licence(card: Path) -> str:
    """What the head of a model card says."""
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()[:80]
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("license:")]
    return found[0] if found else "not stated in its README.md"


def text_of(name: str, whole: Any, held: Any, device: Any) -> Callable[[str], Tensor]:
    """Words to the direction of their embedding, of length 1."""

    def direction(words: str) -> Tensor:
        from transformers import AutoTokenizer

        with building(f"the tokens of {name}", "its folder needs the files of its tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(name)
            most = held.text_config.max_position_embeddings
            # SigLIP was trained on texts that are filled up to the longest
            fill = "max_length" if held.model_type.startswith("siglip") else True
            ids = tokenizer([words], padding=fill, max_length=most, truncation=True)
        # without its files, the library makes a tokenizer that knows no words
        if not set(ids["input_ids"][0]) - set(tokenizer.all_special_ids):
            raise InvsetError(
                f"the tokenizer of {name} knows none of the words {words!r}; its folder needs the"
                " files of the tokenizer, such as tokenizer.json"
            )
        part = whole.text_model
        place = next(part.parameters()).device
        given = {key: torch.tensor(value, device=place) for key, value in ids.items()}
        wanted = inspect.signature(whole.get_text_features).parameters
        with torch.no_grad():
            found = whole.get_text_features(**{k: v for k, v in given.items() if k in wanted})
        found = found if isinstance(found, Tensor) else found.pooler_output
        return F.normalize(found[0].float(), dim=0).to(device)

    return direction
