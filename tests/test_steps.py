"""Step rules against torch.optim and by hand."""

from __future__ import annotations

import torch
from cases import normal

from invset.core.steps import Adam, Memory, Normalized, Plain


def quadratic(x: torch.Tensor) -> torch.Tensor:
    return (x - normal(4, 3, seed=1)) * torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)


def test_plain_and_normalized_by_hand() -> None:
    gradient = torch.tensor([[3.0, -1.0], [200.0, 0.0]])
    assert torch.equal(Plain(0.5)(gradient, {})[0], torch.tensor([[1.5, -0.5], [100.0, 0.0]]))
    # mean |gradient|: (3 + 1) / 2 = 2 and (200 + 0) / 2 = 100
    torch.testing.assert_close(
        Normalized(0.5)(gradient, {})[0], torch.tensor([[0.75, -0.25], [1.0, 0.0]])
    )


def test_normalized_and_adam_do_not_care_about_the_scale() -> None:
    for rule in (Normalized(0.1), Adam(0.1)):
        a, b = normal(4, 3), normal(4, 3)
        memory_a: Memory = {}
        memory_b: Memory = {}
        for _ in range(5):
            step_a, memory_a = rule(quadratic(a), memory_a)
            step_b, memory_b = rule(1e4 * quadratic(b), memory_b)
            a, b = a - step_a, b - step_b
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_no_gradient_no_step() -> None:
    for rule in (Plain(0.1), Normalized(0.1), Adam(0.1)):
        assert torch.equal(rule(torch.zeros(2, 3), {})[0], torch.zeros(2, 3))


def test_adam_is_torchs() -> None:
    rule, x, memory = Adam(0.1, 0.8, 0.99, 1e-8), normal(4, 3), {}
    reference = normal(4, 3).requires_grad_()
    optimizer = torch.optim.Adam([reference], lr=0.1, betas=(0.8, 0.99), eps=1e-8)
    for _ in range(50):
        step, memory = rule(quadratic(x), memory)
        x = x - step
        reference.grad = quadratic(reference.detach())
        optimizer.step()
        torch.testing.assert_close(x, reference.detach(), rtol=1e-10, atol=1e-12)
