"""Our Ranger is torch-optimizer's, bit for bit, and its state can be kept and taken up."""

import copy
import io
import subprocess
import sys
import warnings

import pytest
import torch
import torch_optimizer

from ugosa_server.adaptation.ranger import Ranger

OPTIONS = {"lr": 1e-2, "betas": (0.95, 0.999), "eps": 1e-5, "k": 6, "alpha": 0.5}
SHAPES = [(5, 7), (1,), (3, 1, 3), (40, 16)]


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(tensors, step):
    generator = torch.Generator().manual_seed(step)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator) * 10.0 ** (step % 5 - 3)


@pytest.fixture(autouse=True)
def quiet_reference():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This overload of add", category=UserWarning)
        yield


def test_fifty_steps_are_those_of_torch_optimizer():
    ours, theirs = parameters(), parameters()
    optimiser, reference = Ranger(ours, **OPTIONS), torch_optimizer.Ranger(theirs, **OPTIONS)
    for step in range(50):
        for tensors, stepper in ((ours, optimiser), (theirs, reference)):
            set_gradients(tensors, step)
            stepper.step()
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other), step
    for mine, other in zip(ours, theirs, strict=True):
        for name, value in reference.state[other].items():
            assert torch.equal(torch.as_tensor(optimiser.state[mine][name]), torch.as_tensor(value)), name


def test_parameters_that_miss_steps_count_their_own():
    ours, theirs = parameters(), parameters()
    optimiser, reference = Ranger(ours, **OPTIONS), torch_optimizer.Ranger(theirs, **OPTIONS)
    for step in range(20):
        for tensors, stepper in ((ours, optimiser), (theirs, reference)):
            set_gradients(tensors, step)
            if step % 3 == 0:
                tensors[1].grad = None
            stepper.step()
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_a_saved_state_goes_on_bit_for_bit():
    straight, resumed = parameters(), parameters()
    first, second = Ranger(straight, **OPTIONS), Ranger(resumed, **OPTIONS)
    for step in range(8):
        for tensors, optimiser in ((straight, first), (resumed, second)):
            set_gradients(tensors, step)
            optimiser.step()
    file = io.BytesIO()
    torch.save(copy.deepcopy(second.state_dict()), file)
    file.seek(0)
    second = Ranger(resumed, **OPTIONS)
    second.load_state_dict(torch.load(file, weights_only=True))
    for step in range(8, 20):
        for tensors, optimiser in ((straight, first), (resumed, second)):
            set_gradients(tensors, step)
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_the_compiler_of_torch_is_not_imported_for_it():
    script = (
        "import sys, torch; from ugosa_server.adaptation.ranger import Ranger; p = torch.nn.Parameter("
        "torch.ones(2)); o = Ranger([p], 1.0, (0.9, 0.99), 1e-5, 6, 0.5); o.zero_grad(); "
        "p.square().sum().backward(); o.step(); assert float(p.detach().sum()) < 2; "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
