"""Trains LeNet-5, from its spec, to read handwritten digits; about a minute on two cores.

    python examples/train_digits.py
    torchrun --nproc-per-node 2 examples/train_digits.py

The data are scikit-learn's 1,797 digits of 8x8 pixels, scaled to the 28x28 that the network reads. A fifth is held out
and never trained on. Under torchrun the processes share each batch (DistributedDataParallel), and average what they
learn. With `-o`, the weights are written as safetensors: `archspec weights lenet5 digits.safetensors` reads them.

Needs: pip install 'archspec-nn[torch]' scikit-learn
"""

from __future__ import annotations

import argparse
import os
import time

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import archspec

SEED = 0
BATCH = 64


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images `(N, 1, 28, 28)` in 0 to 1 and their digits: four fifths to train with, then the held-out fifth."""
    data = load_digits()
    images = torch.from_numpy(data.images).float().div(16).unsqueeze(1)
    images = functional.interpolate(images, size=28, mode="bilinear", align_corners=False)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    held_out, train = order[: len(order) // 5], order[len(order) // 5 :]
    labels = torch.from_numpy(data.target)
    return images[train], labels[train], images[held_out], labels[held_out]


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to two pixels, as people write."""
    padded = functional.pad(images, (2, 2, 2, 2))
    rows, columns = torch.randint(0, 5, (2, len(images)), generator=generator)
    reach = torch.arange(28)
    which = torch.arange(len(images))[:, None, None]
    moved = padded[which, 0, (rows[:, None] + reach)[:, :, None], (columns[:, None] + reach)[:, None, :]]
    return moved.unsqueeze(1)


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, rank: int, world: int) -> None:
    """Adam with a learning rate that rises and falls; every process takes its share of each batch."""
    device = next(model.parameters()).device
    optimizer = torch.optim.Adam(model.parameters())
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(SEED)  # the same in every process: they cut up the same batches
    model.train()
    for epoch in range(epochs):
        begin, total = time.perf_counter(), 0.0
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            inputs, targets = shifted(images[batch], generator)[rank::world], labels[batch][rank::world]
            loss = functional.cross_entropy(model(inputs.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        if rank == 0:
            mean = total / (len(images) // BATCH)
            print(f"epoch {epoch + 1:2}  loss {mean:.4f}  {time.perf_counter() - begin:.1f} s", flush=True)


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of images whose digit the model names."""
    device = next(model.parameters()).device
    found = model.eval()(images.to(device)).argmax(1).cpu()
    return float((found == labels).float().mean())


def main() -> None:
    """Train, print a line for each epoch, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("-o", "--output", help="where to write the weights, as safetensors")
    arguments = parser.parse_args()

    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = f"cuda:{local}" if torch.cuda.device_count() > local else "cpu"
    torch.manual_seed(SEED)
    network = archspec.load("lenet5")
    module = archspec.build(network, device=device)
    model: nn.Module = module
    if world > 1:
        dist.init_process_group("nccl" if device != "cpu" else "gloo")
        model = nn.parallel.DistributedDataParallel(module)

    images, labels, test_images, test_labels = digits()
    if rank == 0:
        print(
            f"{network!r} on {device}, {world} process{'es' if world > 1 else ''}; {len(images)} digits to train with"
        )
    train(model, images, labels, arguments.epochs, rank, world)
    if rank == 0:
        print(f"accuracy {accuracy(module, test_images, test_labels):.4f} on {len(test_labels)} held-out digits")
        if arguments.output:
            archspec.save_weights(module, arguments.output, network)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
