"""A question: which inputs of a generator bring these neurons into these ranges?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from invset.core.context import own_context
from invset.core.ranges import ActivationRange
from invset.core.space import Region
from invset.core.target import Evaluate, Inputs, Layer, Moving, Target
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.twin import frozen
from invset.problem.dry_run import First, first_passes
from invset.problem.given import check_parts
from invset.problem.in_views import InViews, Scales
from invset.problem.intersection import asked_of, check_goal, check_meeting, several
from invset.problem.neuron import Neuron, find
from invset.problem.passes import Passes, lay_out, layout_of, portions_of
from invset.problem.readout import Readout
from invset.problem.real_codes import coordinates
from invset.problem.regions import region_of
from invset.problem.rendered import Rendered
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime
from invset.problem.start_codes import ANY, Starts, begin, foreign

#: What is asked of some parts, and what finds it, to what was found.
Recall = Callable[[str, Callable[[], First]], First]


class Problem:
    """Network, generator, encoder and neurons, checked against each other.

    Args:
        network: where the neurons live.
        generator: makes inputs of codes.
        encoder: layer whose activations are E(x); None is the network's own choice.
        neurons: one, or several; these ask for the intersection of their inverse sets (eq. 12).
        encoder_network: where `encoder` lives; None is `network`, and then one pass serves both.
        eight_bit: let the network see inputs rounded to what a file holds, 8 bits for pictures
            (with a straight-through gradient), so that what is saved is in the set.
        runtime: how codes are evaluated; None: exactly.
        robust: whether neurons have to hold up in many views of a picture; None: what `Robust`
            says by default.
        stochastic: allow networks and generators that give something else for the same input a
            second time, or beside others; `Result.spread` tells how far apart activations are.
        clamp: let the network see inputs cut off at their bounds, as they are saved.
        recall: gives what first passes of the same parts showed before; None: passes are taken.

    Attributes:
        notes: sentences on what first passes showed, which a run tells.
        flat: why no pass can be differentiated, in a sentence; None: passes can.

    Raises:
        InvsetError: networks on several devices, a layer, neuron or position that does not exist,
            a runtime option that the device does not have, or anything that first passes of two
            codes run into: a module that raises or is no function, outputs that do not fit, numbers
            that are not finite.
    """

    @own_context()
    def __init__(
        self,
        network: Network,
        generator: Generator,
        encoder: str | None = None,
        neurons: Neuron | Iterable[Neuron] = (),
        encoder_network: Network | None = None,
        eight_bit: bool = True,
        runtime: Runtime | None = None,
        robust: Robust | None = None,
        stochastic: bool = False,
        clamp: bool = True,
        recall: Recall | None = None,
    ) -> None:
        check_parts(network, generator, encoder_network, encoder, runtime, robust)
        self.network = network
        self.generator = generator
        self.encoder_network = encoder_network or network
        self.medium = network.medium
        self.encoder = encoder or self.encoder_network.encoder
        self.neurons = several(neurons)
        self.stochastic = stochastic
        shapes = self._first_shapes(recall or (lambda _, find: find()))
        self.shapes = [shapes[neuron.layer] for neuron in self.neurons]
        self.places = [find(network, *one) for one in zip(self.neurons, self.shapes, strict=True)]
        check_meeting(self.neurons, self.places)
        self.made = Rendered(self.generator, self.medium, eight_bit, clamp)
        self.runtime = runtime or Runtime()
        self.notes += self.runtime.notes(network.device)
        self.portions = portions_of(self.runtime, network.device)
        self._passes = self._passes_of(self._evaluate)
        side = self.encoder_network.side or network.side
        lay_out(self._modules(), layout_of(self.runtime, network.device, side))
        ends = torch.tensor([n.range for n in self.neurons], device=network.device)
        self.range = ActivationRange(*ends.float().unbind(1))
        pictures = isinstance(self.medium, Image8Bit)
        self.robust = (robust or Robust()).resolved(generator.learnt, pictures)
        self.readout = self._read_by()

    def __repr__(self) -> str:
        return f"Problem({self.question}; {self.network}, {self.generator})"

    def _read_by(self) -> Readout | InViews:
        """What reads the neurons: of robust ones, views."""
        whole = Readout(self.network, self.encoder_network, self.encoder, self.neurons, self.places)
        if self.robust is None:
            return whole
        if self.runtime.compile or self.runtime.cuda_graphs:
            raise InvsetError(
                "views of robust neurons change from step to step, which no recorded or compiled"
                " step can do; type robust=0, or leave runtime.compile and runtime.cuda_graphs out"
            )
        grey = torch.full((1, *self.input_shape), 0.5, device=self.network.device)
        return InViews.of(whole, self.robust, self.range, grey)

    def _passes_of(self, evaluate: Evaluate) -> Passes:
        return Passes(evaluate, self.runtime, self.network.device, self.portions, self.flat)

    def _first_shapes(self, recall: Recall) -> dict[str, tuple[int, ...]]:
        """Take the first passes, and return the shape of one input's activations in each layer."""
        self.encoder_network.resolve(self.encoder)
        for neuron in self.neurons:
            self.network.resolve(neuron.layer)
        layers = sorted({neuron.layer for neuron in self.neurons})
        parts = (self.network, self.generator, self.encoder_network, self.encoder, layers)
        first = recall(
            f"{layers} {self.encoder} {self.stochastic}",
            lambda: first_passes(*parts, self.stochastic),
        )
        self.generator = first.generator
        self.input_shape = first.input_shape  # of what the generator makes of one code
        self.notes = [*filter(None, [self.network.note]), *first.notes]
        self.flat = first.flat
        return first.shapes

    def _modules(self) -> list[nn.Module]:
        parts = (self.network, self.encoder_network, self.generator)
        return [part.module for part in parts if isinstance(part.module, nn.Module)]

    @property
    def indices(self) -> list[int | None]:
        """Index from 0 of each neuron's unit or channel; None for a direction."""
        return [place.index for place in self.places]

    @property
    def names(self) -> list[str]:
        """What reports call each neuron, for example ``fc8:8 horse``."""
        named = zip(self.neurons, self.indices, strict=True)
        return [neuron.called(self.network, index) for neuron, index in named]

    @property
    def centred(self) -> list[bool]:
        """Whether each is read where a `Reference` reads it: a channel at the centre."""
        return [neuron.position == "center" for neuron in self.neurons]

    @property
    def question(self) -> str:
        """The neurons and their ranges in words, for example ``fc8:8 horse in [3, 4]``."""
        return asked_of(self.names, self.neurons)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations, with shape (B, p), and encodings, with shape (B, d), of inputs, such as
        float RGB images in [0, 1] with shape (B, 3, H, W).
        """
        return self.readout.look(x)

    def measure(self, x: Tensor) -> tuple[Tensor, Tensor, Scales | None]:
        """The same, and the activations in views and in the whole where neurons are robust."""
        if isinstance(self.readout, InViews):
            return self.readout.measure(x)
        return *self.readout.look(x), None

    def evaluate(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Activations and encodings of G(codes), as `runtime` says: what a sampler calls."""
        return self._passes(codes)

    def _evaluate(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        return self.look(self.made(codes))

    def _evaluate_inputs(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Activations of G(codes), and G(codes) and its encodings side by side."""
        x = self.made(codes)
        f, e = self.look(x)
        return f, torch.cat([x.flatten(1), e], 1)

    def start_codes(self, count: int, rng: torch.Generator) -> Tensor:
        """Codes to begin at without a prior: see `begin`."""
        self.notes += foreign(self.generator, self.encoder_network, self.notes)
        return begin(
            self.generator,
            self.encoder_network,
            self.encoder,
            self.encoder_network.medium.shape or self.input_shape,
            count,
            rng,
            self.portions.at_a_time(count),
        )

    @own_context()
    def region(
        self,
        prior: str | Region = "auto",
        rng: torch.Generator | None = None,
        clip: tuple[float | Tensor, float | Tensor] | None = None,
        plain: bool = False,
        starts: Starts = ANY,
    ) -> Region:
        """The part of code space that may be used.

        Args:
            prior: "natural" (the generator's own), "clip" (codes between the two ends of `clip`),
                "none" (published), "auto" ("clip" if `clip` is given, else the first of these that
                the generator has), or a region.
            rng: draws the start codes of "clip" and "none".
            clip: lowest and highest value of a code's numbers, or of each of them, with shape
                (code_dim,); None: the generator's own, or PPGN's 0 and 30.
            plain: let "auto" choose plain codes, "clip" or "none", as chains in code space need
                them.
            starts: which start codes.

        Raises:
            InvsetError: "natural" for a generator without one, or with `starts`.
        """
        if not isinstance(prior, str):
            return prior

        def drawn() -> Tensor:
            chance = rng or torch.Generator().manual_seed(0)
            return starts.drawn(self.start_codes, self.evaluate, chance)

        return region_of(self.generator, prior, drawn, clip, plain, starts)

    @own_context()
    def target(self, region: Region, goal: str = "range", real: Tensor | None = None) -> Target:
        """What a sampler samples.

        Args:
            region: where codes may lie.
            goal: what the sampler aims at: see `invset.core.goal`.
            real: real inputs in stored form, such as uint8 pictures, for samplers that need some.

        Raises:
            InvsetError: a neuron without a range, or one that has a range beside another goal.
        """
        check_goal(goal, self.names, self.neurons, self.robust)
        for module in self._modules():
            frozen(module)  # whatever was done to it since
        return Target(
            self.evaluate,
            self.range,
            region,
            self.runtime.exact,
            self.layer(),
            self._moving(),
            Inputs(self._passes_of(self._evaluate_inputs), math.prod(self.input_shape)),
            self.readout.passes,
            products=self.runtime.products,
            whole=self._passes.whole(),
            picture=self.generator.picture_of(region),
            real=coordinates(self.generator, self.encoder_network, self.encoder, region, real),
        )

    def _moving(self) -> Moving | None:
        """Robust neurons in moving views."""
        views = self.readout
        if not isinstance(views, InViews):
            return None

        def at(number: int) -> Passes:
            def estimate(codes: Tensor) -> tuple[Tensor, Tensor]:
                return views.estimate(self.made(codes), number)

            return Passes(estimate, self.runtime, self.network.device, portions, self.flat)

        # smaller than fixed views, so that what fits is another number of codes
        portions = portions_of(self.runtime, self.network.device)
        return Moving(at, views.moving_passes, views.ratio)

    def layer(self) -> Layer | None:
        """All units of the neuron's layer; None for several neurons and for directions, which have
        no place in one.
        """
        unit = self.indices[0]
        if len(self.neurons) > 1 or unit is None:
            return None
        return Layer(self._passes_of(self._evaluate_layer), unit)

    def _evaluate_layer(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Activations of all units, with shape (B, units), at the neuron's position, and encodings,
        of G(codes).
        """
        return self.readout.units(self.made(codes))
