"""Ranger is torch-optimizer's as the authors set it, can be resumed, and leaves torch's compiler unloaded."""

import copy
import io
import subprocess
import sys

import torch
import torch_optimizer

from ugosa_server.adaptation.ranger import Ranger

LEARNING_RATE = 1e-2
SHAPES = [(5, 7), (1,), (3, 1, 3), (40, 16)]


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(tensors, step):
    generator = torch.Generator().manual_seed(step)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator) * 10.0 ** (step % 5 - 3)


def test_fifty_steps_are_those_of_the_authors_settings():
    ours, theirs = parameters(), parameters()
    optimiser = Ranger(ours, LEARNING_RATE)
    reference = torch_optimizer.Ranger(
        theirs, lr=LEARNING_RATE, betas=(0.95, 0.999), eps=1e-5, k=6, alpha=0.5
    )
    for step in range(50):
        for tensors, stepper in ((ours, optimiser), (theirs, reference)):
            set_gradients(tensors, step)
            stepper.step()
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other), step


def test_a_saved_state_goes_on_bit_for_bit():
    straight, resumed = parameters(), parameters()
    first, second = Ranger(straight, LEARNING_RATE), Ranger(resumed, LEARNING_RATE)
    for step in range(8):
        for tensors, optimiser in ((straight, first), (resumed, second)):
            set_gradients(tensors, step)
            optimiser.step()
    file = io.BytesIO()
    torch.save(copy.deepcopy(second.state_dict()), file)
    file.seek(0)
    second = Ranger(resumed, LEARNING_RATE)
    second.load_state_dict(torch.load(file, weights_only=True))
    for step in range(8, 20):
        for tensors, optimiser in ((straight, first), (resumed, second)):
            set_gradients(tensors, step)
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_zero_grad_drops_the_gradients():
    (only,) = tensors = parameters()[:1]
    set_gradients(tensors, 0)
    Ranger(tensors, LEARNING_RATE).zero_grad()
    assert only.grad is None


def test_a_worker_leaves_the_compiler_of_torch_unloaded():
    script = (
        "import sys, torch; from ugosa_server.adaptation.ranger import Ranger; "
        "from ugosa_server.config import WorkerSettings; "
        "from ugosa_server.pipeline.resident import open_networks; "
        "open_networks(WorkerSettings(device='cpu')); p = torch.nn.Parameter("
        "torch.ones(2)); p.grad = torch.ones(2); o = Ranger([p], 1.0); o.step(); o.zero_grad(); "
        "o.load_state_dict(o.state_dict()); assert float(p.detach().sum()) < 2; "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
