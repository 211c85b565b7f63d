"""Networks and generators by name: what the options of ``configs/network`` and ``configs/generator`` build.

Every function takes plain values, as a config file or a command line gives them, and returns a `Network` or a `Generator`.
Weights that do not fit, a file that is not there or a name that nobody knows are an `InvsetError` that says what to type instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.errors import InvsetError, did_you_mean
from invset.models.generator import Generator
from invset.models.mini import LAYER_ALIASES, MiniNet, Normalize
from invset.models.network import Network
from invset.models.upconv import UpConv
from invset.models.weights import load_state, load_trained, read_state
from invset.prior import CodePrior

#: The weights that come with the package.
ASSETS = Path(__file__).parents[1] / "assets"

#: The pairs of network and generator among them.
EMBEDDED = ("mini", "mini64")

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

#: Per RGB channel, pixels in [0, 1].
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# Networks and generators that invset trains itself


def mini_network(weights: str | Path | None = None, device: str | torch.device = "cpu", name: str = "mini") -> Network:
    """CaffeNet in small.

    Args:
        weights: a file written by ``invset train network`` (`weights.save_mini`); None is the embedded one.
        device: where the weights go.
        name: the embedded pair: "mini" (CIFAR-10, 32 pixels) or "mini64" (Tiny ImageNet, 64 pixels).

    Raises:
        InvsetError: no pair of that name, or `weights` can't be read.
    """
    net, arguments = load_trained(MiniNet, "mini", _file(weights, name, "network"))
    labels = arguments.get("labels", CIFAR10 if weights is None else None)
    size = arguments.get("size", 32)
    return Network(net, name=name, image_size=size, aliases=LAYER_ALIASES, labels=labels, output="fc8", encoder="fc6", device=device)


def mini_generator(
    weights: str | Path | None = None,
    prior: str | Path | None = None,
    device: str | torch.device = "cpu",
    name: str = "mini",
) -> Generator:
    """The generator of `mini_network`'s fc6 and the natural region of its codes.

    Args:
        weights: a file written by `weights.save_upconv`; None is the embedded one.
        prior: a file written by ``invset fit prior``; None is the embedded one.
        device: where the weights go.
        name: the embedded pair, as in `mini_network`.

    Raises:
        InvsetError: no pair of that name, or a file can't be read or does not fit.
    """
    return _upconv(name, _file(weights, name, "generator"), prior or embedded(name, "prior"), device)


def _file(weights: str | Path | None, name: str, part: str) -> str | Path:
    """The file that is given, or that of the embedded pair."""
    if weights in EMBEDDED and not Path(weights).is_file():
        raise InvsetError(f"{weights} is an embedded pair, no file of weights; type name={str(weights)!r}")
    return weights or embedded(name, part)


def embedded(name: str, part: str) -> Path:
    """A file that comes with the package.

    Args:
        name: "mini" or "mini64".
        part: "network", "generator", "prior" or "reference".

    Raises:
        InvsetError: no such pair, or the installation lacks the file.
    """
    if name not in EMBEDDED:
        raise InvsetError(f"no pair {name!r} comes with the package.{did_you_mean(name, EMBEDDED)} There are {', '.join(EMBEDDED)}")
    path = ASSETS / f"{name}-{part}.safetensors"
    if not path.is_file():
        raise InvsetError(f"this installation lacks its embedded {part} {path}; install invset again")
    return path


def upconv_generator(weights: str | Path, prior: str | Path | None = None, device: str | torch.device = "cpu") -> Generator:
    """A generator trained with ``invset train generator``.

    Args:
        weights: a file written by `weights.save_upconv`.
        prior: a file written by ``invset fit prior``; None: the generator has no natural region.
        device: where the weights go.
    """
    return _upconv("upconv", weights, prior, device)


def _upconv(name: str, weights: str | Path, prior: str | Path | None, device: str | torch.device) -> Generator:
    module, _ = load_trained(UpConv, "upconv", weights)
    region = load_prior(prior, module.code_dim)
    return Generator(module, module.code_dim, name=name, prior=region, device=device)


def load_prior(prior: str | Path | None, code_dim: int) -> CodePrior | None:
    """The natural region that a file of ``invset fit prior`` holds, if one is given, checked against the length of a code."""
    if prior is None:
        return None
    region = CodePrior.load(prior)
    if len(region.mean) != code_dim:
        raise InvsetError(f"{prior} is a prior of codes with {len(region.mean)} numbers, but the generator's have {code_dim}")
    return region


# Networks of others


class Resize(nn.Module):
    """Images of any size, with shape (N, 3, H, W), to `size` x `size` pixels, bilinear and free of aliasing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == (self.size, self.size):
            return x
        return F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)


def torchvision_network(
    name: str, weights: str | None = "DEFAULT", device: str | torch.device = "cpu", image_size: int | None = None
) -> Network:
    """Any network of torchvision, with torchvision's own layer names (``layer4.1.conv2``).

    Its encoder is the input of its last linear layer, ``fc.input`` in a ResNet.

    Args:
        name: as in ``torchvision.models.list_models()``.
        weights: "DEFAULT" or another name of its published weights (downloaded once), a local file (.pth, .safetensors), or None: random.
        device: where the weights go.
        image_size: side in pixels that images are resized to; None is the side that the published weights were made for.
    """
    import torchvision  # takes a second, which only its users should wait for

    known = torchvision.models.list_models()
    if name not in known:
        raise InvsetError(f"torchvision has no network {name!r}.{did_you_mean(name, known)} All: torchvision.models.list_models()")
    published = torchvision.models.get_model_weights(name)
    module = _torchvision_module(name, weights, published)
    preset = published.DEFAULT.transforms()
    size = image_size or getattr(module, "image_size", None) or (*getattr(preset, "crop_size", []), 224)[0]
    _prepend(module, size, getattr(preset, "mean", IMAGENET_MEAN), getattr(preset, "std", IMAGENET_STD), device)
    labels = published.DEFAULT.meta.get("categories")
    if labels is not None and len(labels) != list(module.parameters())[-1].shape[0]:
        labels = None
    output, encoder = _ends(module)
    return Network(module, name=name, image_size=size, labels=labels, output=output, encoder=encoder, device=device)


def _torchvision_module(name: str, weights: str | None, published: Any) -> nn.Module:
    import torchvision

    if weights in published.__members__:
        chosen = published[weights]
        try:
            return torchvision.models.get_model(name, weights=chosen)
        except (OSError, RuntimeError) as error:
            place = Path(torch.hub.get_dir()) / "checkpoints" / chosen.url.rsplit("/", 1)[-1]
            raise InvsetError(
                f"could not download {chosen.url} ({error}). Get that file some other way and put it at {place}, or type "
                "network.weights=/path/to.pth for a file of your own, network.weights=null for random weights"
            ) from error
    options: dict[str, Any] = {}
    if "weights_backbone" in inspect.signature(torchvision.models.get_model_builder(name)).parameters:
        options["weights_backbone"] = None  # its default is a download
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # its default takes a minute and warns about that
    module = torchvision.models.get_model(name, weights=None, **options)
    if weights is None:
        return module
    if not Path(weights).expanduser().is_file():
        raise InvsetError(f"network.weights={weights} is no file; {name} also takes null (random), {', '.join(published.__members__)}")
    state = read_state(weights)
    # fine-tuned weights often have other classes: what the file's last tensor says, the network has to follow
    last, tensor = list(module.named_parameters())[-1]
    if last in state and state[last].shape[:1] != tensor.shape[:1]:
        module = torchvision.models.get_model(name, weights=None, num_classes=len(state[last]), **options)
    return load_state(module, state, weights)


def module_network(
    module: nn.Module | Callable[[], nn.Module],
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | str | Path | None = None,
    output: str | None = None,
    encoder: str | None = None,
    image_size: int | None = None,
    device: str | torch.device = "cpu",
    **options: Any,
) -> Network:
    """A network of your own.

    Args:
        module: the module, or a function without arguments that makes it.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        mean, std: per RGB channel, of pixels in [0, 1], if the module wants normalised images; None leaves them in [0, 1].
        labels: names of the output's units in order, or a text file with one name a line.
        output: the layer whose neurons are meant when none is given; None is the last one.
        encoder: the layer that is E when none is given; None is the input of the last linear layer.
        image_size: side in pixels that images are resized to; None leaves them as they are.
        device: where the weights go.
        options: the other arguments of `Network`: name, aliases.
    """
    net = module if isinstance(module, nn.Module) else module()
    if not isinstance(net, nn.Module):
        raise InvsetError(f"network.module gives {type(net).__name__}, not a torch.nn.Module; return the module itself")
    if weights is not None:
        load_state(net, read_state(weights), weights)
    if (mean is None) != (std is None):
        raise InvsetError("network.mean and network.std belong together: give both or neither")
    _prepend(net, image_size, mean, std, device)
    last, inner = _ends(net)
    if isinstance(labels, (str, Path)):
        labels = read_labels(labels)
    options = {"name": "custom", "labels": labels, "output": output or last, "encoder": encoder or inner, **options}
    return Network(net, image_size=image_size, device=device, **options)


def _prepend(module: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None, device: Any) -> None:
    """Resize and normalise what enters `module`: as a hook, because a wrapper would put a prefix before every layer's name."""
    steps: list[nn.Module] = [Resize(size)] if size is not None else []
    if mean is not None and std is not None:
        steps.append(Normalize(mean, std))
    if steps:
        before = nn.Sequential(*steps).to(device)
        module.register_forward_pre_hook(lambda _module, inputs: (before(inputs[0]), *inputs[1:]))


def _ends(module: nn.Module) -> tuple[str | None, str | None]:
    """Return the last layer and the one whose output enters the last linear layer, None where there is none.

    What enters it is often the result of a function, not of a module, and could not be tapped; so the linear layer gets a child
    ``input`` that passes it on unchanged.
    """
    paths = [path for path, _ in module.named_modules() if path]
    linear = [(path, child) for path, child in module.named_modules() if path and isinstance(child, nn.Linear)]
    if not linear:
        return (paths[-1] if paths else None), None
    path, last = linear[-1]
    if not hasattr(last, "input"):
        last.add_module("input", nn.Identity())
        last.register_forward_pre_hook(lambda layer, inputs: (layer.input(inputs[0]), *inputs[1:]))
    return paths[-1] if paths[-1] != f"{path}.input" else path, f"{path}.input"


def read_labels(path: str | Path) -> list[str]:
    """Names of units from a text file with one a line."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise InvsetError(f"no labels at {path}; give a text file with one name a line, or a list: network.labels=[cat,dog]")
    return path.read_text(encoding="utf-8").splitlines()


# Generators of others


class FromRange(nn.Module):
    """A generator whose pixels are in [low, high], as one whose pixels are in [0, 1]."""

    def __init__(self, module: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.module, self.low, self.high = module, low, high

    def forward(self, codes: Tensor) -> Tensor:
        return (self.module(codes) - self.low) / (self.high - self.low)


def module_generator(
    module: nn.Module | Callable[[], nn.Module],
    code_dim: int,
    weights: str | Path | None = None,
    gaussian: bool = False,
    prior: str | Path | None = None,
    pixel_range: Sequence[float] = (0.0, 1.0),
    device: str | torch.device = "cpu",
    name: str = "custom",
) -> Generator:
    """A generator of your own.

    Args:
        module: codes, with shape (N, code_dim), to images, with shape (N, 3, H, W); or a function without arguments that makes it.
        code_dim: numbers in one code.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        gaussian: its codes are N(0, I) by construction, as a GAN's or a flow's: they begin there and the natural region is known.
        prior: a file written by ``invset fit prior``; None: by `gaussian`, or none.
        pixel_range: the values that are black and white in its images, (-1, 1) behind a tanh.
        device: where the weights go.
        name: what reports call it.
    """
    net = module if isinstance(module, nn.Module) else module()
    if not isinstance(net, nn.Module):
        raise InvsetError(f"generator.module gives {type(net).__name__}, not a torch.nn.Module; return the module itself")
    if weights is not None:
        load_state(net, read_state(weights), weights)
    low, high = pixel_range
    if (low, high) != (0, 1):
        net = FromRange(net, low, high)
    region = load_prior(prior, code_dim)
    if region is None and gaussian:
        region = CodePrior.gaussian(code_dim)

    def start(count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, code_dim, generator=rng, device=rng.device).to(device)

    return Generator(net, code_dim, name=name, prior=region, start=start if gaussian else None, device=device)
