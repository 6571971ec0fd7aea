"""Each optimizer against its update written out, 20 steps in float64 with a rate that drops, two groups."""

import inspect
import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from reslab.config.schema import bind
from reslab.errors import UserError
from reslab.training.loop import set_rate
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.optim.without_compiler import without_compiler

STEPS, LR, DROP = 20, 0.02, 10
Update = Callable[[torch.Tensor, torch.Tensor, dict, float, int], torch.Tensor]


def start() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    nn.init.zeros_(model[0].bias)  # for LARS: a tensor without a norm
    return model


def loss(model: nn.Module, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    return nn.functional.cross_entropy(model(images), torch.randint(3, (8,), generator=generator))


def follow(spec: dict) -> nn.Module:
    """Our optimizer over the steps."""
    model = start()
    optimizer = bind(OPTIMIZERS, {"lr": LR, **spec}, "optimizer")(model)
    for step in range(STEPS):
        set_rate(optimizer, 0.1 if step >= DROP else 1.0)
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
    return model


def written_out(update: Update) -> nn.Module:
    """w = update(w, g, state, lr, t), one tensor at a time."""
    model = start()
    states = [{} for _ in model.parameters()]
    for step in range(STEPS):
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss(model, step), parameters)
        lr = LR * (0.1 if step >= DROP else 1.0)
        with torch.no_grad():
            for parameter, gradient, state in zip(parameters, gradients, states, strict=True):
                parameter.copy_(update(parameter, gradient, state, lr, step + 1))
    return model


def moments(g, state, beta1, beta2):
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    return state["m"], state["v"]


def adam(w, g, state, lr, t, *, decay=0.01):
    m, v = moments(g + decay * w, state, 0.8, 0.99)
    return w - lr * (m / (1 - 0.8**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)


def adamw(w, g, state, lr, t):
    return adam((1 - lr * 0.01) * w, g, state, lr, t, decay=0)


def amsgrad(w, g, state, lr, t):
    m, v = moments(g, state, 0.9, 0.999)
    state["top"] = torch.maximum(state.get("top", torch.zeros_like(v)), v)
    return w - lr * (m / (1 - 0.9**t)) / ((state["top"] / (1 - 0.999**t)).sqrt() + 1e-8)


def rmsprop(w, g, state, lr, t):
    state["v"] = 0.9 * state.get("v", 0) + 0.1 * g * g
    return w - lr * g / (state["v"].sqrt() + 1e-8)


def adagrad(w, g, state, lr, t):
    state["sum"] = state.get("sum", 0) + g * g
    return w - lr * g / (state["sum"].sqrt() + 1e-10)


def adadelta(w, g, state, lr, t):
    state["v"] = 0.3 * state.get("v", 0) + 0.7 * g * g
    change = ((state.get("d", 0) + 1e-6) / (state["v"] + 1e-6)) ** 0.5 * g
    state["d"] = 0.3 * state.get("d", 0) + 0.7 * change**2
    return w - lr * change


def lars_hysts(w, g, state, lr, t):
    norm = w.norm().item()
    local = norm / (1e-9 + g.norm().item() + 0.01 * norm) if norm >= 1e-2 else 1.0
    state["v"] = 0.9 * state.get("v", 0) + lr * local * (g + 0.01 * w)
    return w - state["v"]


def lars_paper(w, g, state, lr, t):
    norm = w.norm().item()
    local = 0.02 * norm / (g.norm().item() + 0.01 * norm) if norm > 0 else 1.0
    state["v"] = 0.9 * state.get("v", 0) + lr * local * (g + 0.01 * w)
    return w - state["v"]


def adabound(w, g, state, lr, t, *, decay=0.01):
    m, v = moments(g + decay * w, state, 0.9, 0.999)
    final = 0.2 * lr / LR
    rate = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) / (v.sqrt() + 1e-8)
    return w - rate.clamp(final * (1 - 1 / (0.5 * t + 1)), final * (1 + 1 / (0.5 * t))) * m


def adaboundw(w, g, state, lr, t):
    return adabound((1 - 0.01 * lr / LR) * w, g, state, lr, t, decay=0)


CASES = {
    "adam": ({"name": "adam", "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01}, adam),
    "adamw": ({"name": "adamw", "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01}, adamw),
    "amsgrad": ({"name": "adam", "amsgrad": True}, amsgrad),
    "rmsprop": ({"name": "rmsprop", "alpha": 0.9}, rmsprop),
    "adagrad": ({"name": "adagrad"}, adagrad),
    "adadelta": ({"name": "adadelta", "rho": 0.3}, adadelta),
    "lars, hysts": ({"name": "lars", "rule": "hysts", "weight_decay": 0.01}, lars_hysts),
    "lars, paper": ({"name": "lars", "rule": "paper", "trust_coefficient": 0.02, "weight_decay": 0.01}, lars_paper),
    "adabound": ({"name": "adabound", "gamma": 0.5, "final_lr": 0.2, "weight_decay": 0.01}, adabound),
    "adaboundw": ({"name": "adabound", "gamma": 0.5, "final_lr": 0.2, "weight_decay": 0.01, "decoupled": True}, adaboundw),
}


@pytest.mark.parametrize("case", CASES)
def test_trajectory_is_the_written_out_update(case):
    spec, update = CASES[case]
    ours, expected = follow(spec), written_out(update)
    for parameter, other, first in zip(ours.parameters(), expected.parameters(), start().parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-11, atol=1e-13)
        assert not torch.equal(parameter, first)


def test_adabound_is_clipped_on_both_sides_in_its_test():
    """Otherwise the bounds would not be tested."""
    sides = {"low": False, "high": False}

    def watched(w, g, state, lr, t):
        result = adabound(w, g, state, lr, t)
        rate = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) / (state["v"].sqrt() + 1e-8)
        final = 0.2 * lr / LR
        sides["low"] |= bool((rate < final * (1 - 1 / (0.5 * t + 1))).any())
        sides["high"] |= bool((rate > final * (1 + 1 / (0.5 * t))).any())
        return result

    written_out(watched)
    assert sides == {"low": True, "high": True}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_makes_groups(name):
    spec = {"name": name, "lr": 0.1, "scalar_lr": 0.5, "weight_decay": 0.01, "no_decay": ["bias"]}
    spec |= {"rule": "paper"} if name == "lars" else {}
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model.register_parameter("tau", nn.Parameter(torch.ones(1)))
    optimizer = bind(OPTIMIZERS, spec, "optimizer")(model)
    groups = {group["name"]: (group["initial_lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert groups == {"all": (0.1, 0.01), "no_decay": (0.1, 0.0), "scalars": (0.05, 0.01)}  # the bias of one element is a bias


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_and_groups_are_off_unless_asked_for(name):
    """AdamW decays by 0.01 in torch."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(OPTIMIZERS[name]).parameters.items()}
    assert (defaults["weight_decay"], defaults["no_decay"], defaults["scalar_lr"]) == (0.0, (), 1.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "sgd", "nesterov": True}, "nesterov needs momentum"),
        ({"name": "lars"}, "missing key 'rule'"),
        ({"name": "lars", "rule": "mine"}, "optimizer.rule: 'mine' is not allowed"),
        ({"name": "adam", "beta1": 1.0}, "optimizer.beta1: 1.0 is not allowed"),
        ({"name": "sgd", "no_decay": ["bn"]}, "optimizer.no_decay\\[0\\]: 'bn' is not allowed: should be 'batch_norm', 'bias'"),
        ({"name": "adabound", "final_lr": 0.0}, "optimizer.final_lr: 0.0"),
        ({"name": "adamw", "betas": [0.9, 0.9]}, "unknown key 'betas'"),
    ],
)
def test_impossible_optimizers_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        bind(OPTIMIZERS, {"lr": 0.1} | spec, "optimizer")(nn.Linear(2, 2))


USES_OPTIMIZERS = """
import sys
import torch
from reslab.training.execution import hardware
from reslab.training.optim.optimizers import OPTIMIZERS
hardware.prepare(torch.device("cpu"), precision="float32", fast=False)
for name, make in OPTIMIZERS.items():
    model = torch.nn.Linear(2, 2)
    optimizer = make(model, lr=0.1, **({"rule": "paper"} if name == "lars" else {}))
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print(len(OPTIMIZERS), torch.are_deterministic_algorithms_enabled(), *{"torch._dynamo", "torch._inductor"} & set(sys.modules))
"""


def test_optimizers_do_not_load_the_compiler():
    done = subprocess.run([sys.executable, "-c", USES_OPTIMIZERS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(OPTIMIZERS)), "True"]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_steps_are_those_of_torch(name):
    """The form without the compiler has torch's name and gives its bits."""
    theirs, ours = getattr(torch.optim, name), without_compiler(getattr(torch.optim, name))
    assert ours.__name__ == theirs.__name__
    weights = []
    for make in (theirs, ours):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 3)
        optimizer = make(model.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        weights.append(model.weight.detach())
    assert torch.equal(*weights)
