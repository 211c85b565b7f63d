"""What is said where memory is too small for a run: options that it goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from invset.errors import InvsetError, first_lines, is_out_of_memory
from invset.problem.problem import Problem


class OutOfMemory(InvsetError):
    """Memory is too small.

    Args:
        sentence: for a person.
        how: options that a run goes on with.
    """

    def __init__(self, sentence: str, how: list[str]) -> None:
        super().__init__(sentence)
        self.how = how


@contextmanager
def enough_memory(problem: Problem, K: int, n: int) -> Iterator[None]:
    """Say what to type where memory is too small.

    Args:
        problem: what is sampled.
        K: codes that the sampler takes at once.
        n: samples that are kept.

    Raises:
        OutOfMemory: it is.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        at_once = min(K, problem.portions.part or K)
        how = _fewer(problem, at_once)
        told = " ".join(how) or "smaller networks"
        why = first_lines(error, 100) or type(error).__name__
        raise OutOfMemory(
            f"there is not enough memory on {problem.network.device} for {at_once} codes at once"
            f" and {n} samples; type {told}, with which the same counts as a sample, or begin"
            f" anew with a smaller n ({why})",
            how,
        ) from error


def _fewer(problem: Problem, at_once: int) -> list[str]:
    """Options that take less memory than `at_once` codes do."""
    graphs = ["runtime.cuda_graphs=false"] if problem.runtime.cuda_graphs else []
    if at_once > 1:
        return [*graphs, f"runtime.micro_batch={at_once // 2}"]
    return graphs or ([] if problem.network.device.type == "cpu" else ["device=cpu"])


def how_after(error: BaseException) -> list[str]:
    """Options that a run goes on with after an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OutOfMemory):
            return cause.how
        cause = cause.__cause__
    return []
