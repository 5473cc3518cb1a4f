"""EditCandidates to train many small networks at once, on the processor or an accelerator.

    python -m benchmarks.level_training [--networks 9 36] [--side 32] [--device cpu] [--out FILE.md]

One optimizer step of every network of a level, each on a batch of its own:

one after the other
    Separate networks, as the product trains them.
grouped convolutions
    One network whose channels are those of all networks, with as many groups of channels.
stacked parameters
    `torch.func.functional_call` under `vmap`, weights stacked along a new axis.

On the processor each way runs in one thread, and then as a level runs: two threads that share the
networks. All ways take turns; the least time counts. A last column says whether a network comes out
with the same bits however many others train beside it, which resuming a level half done needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_triplets_indices
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.clock import clock
from benchmarks.tables import table
from heml.metrics.distance import DISTANCES
from heml.metrics.node_network import NodeNetwork, new_network
from heml.storage.atomic_write import write_aside

BATCH, EMBEDDING, MARGIN, RATE = 64, 64, 0.2, 3e-3
Indices = tuple[Tensor, ...]
#: Does one step of all its networks.
Step = Callable[[], None]
#: Networks, their batches (K, B, 4, R, R), triplets → the step.
EditCandidate = Callable[[list[NodeNetwork], Tensor, Indices], Step]


def triplet_loss(embeddings: Tensor, indices: Indices) -> Tensor:
    """Mean over the triplets that miss the margin."""
    distances = DISTANCES["snr"].pairwise(embeddings, embeddings)
    anchors, positives, negatives = indices
    missed = torch.relu(distances[anchors, positives] - distances[anchors, negatives] + MARGIN)
    return missed.sum() / (missed > 0).sum().clamp_min(1)


def _optimizer(parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=RATE, fused=True)


def one_after_the_other(networks: list[NodeNetwork], batches: Tensor, indices: Indices) -> Step:
    optimizers = [_optimizer(list(network.parameters())) for network in networks]
    for network in networks:
        network.to(memory_format=torch.channels_last)
    inputs = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]

    def step() -> None:
        for network, optimizer, batch in zip(networks, optimizers, inputs, strict=True):
            optimizer.zero_grad(set_to_none=True)
            triplet_loss(network(batch), indices).backward()
            optimizer.step()

    return step


class GroupedNetwork(nn.Module):
    """Several node networks as one: their channels side by side, in groups.

    Parameters
    ----------
    networks : list of NodeNetwork
        With small trunks; their weights are copied.
    """

    def __init__(self, networks: list[NodeNetwork]) -> None:
        super().__init__()
        self._count = count = len(networks)
        layers: list[nn.Module] = []
        for place, layer in enumerate(networks[0].trunk):
            peers = [network.trunk[place] for network in networks]
            if isinstance(layer, nn.Conv2d):
                joined = nn.Conv2d(
                    count * layer.in_channels,
                    count * layer.out_channels,
                    layer.kernel_size,
                    layer.stride,
                    layer.padding,
                    groups=count,
                    bias=False,
                )
                joined.weight.data = torch.cat([peer.weight.data for peer in peers])
                layers.append(joined)
            elif isinstance(layer, nn.GroupNorm):
                norm = nn.GroupNorm(count * layer.num_groups, count * layer.num_channels)
                norm.weight.data = torch.cat([peer.weight.data for peer in peers])
                norm.bias.data = torch.cat([peer.bias.data for peer in peers])
                layers.append(norm)
            elif isinstance(layer, nn.ReLU):
                layers.append(nn.ReLU(inplace=True))
        self.trunk = nn.Sequential(*layers)

        def stacked(name: str, place: int) -> nn.Parameter:
            return nn.Parameter(
                torch.stack([getattr(network.embedder[place], name).data for network in networks])
            )

        self.first, self.first_bias = stacked("weight", 0), stacked("bias", 0)
        self.last, self.last_bias = stacked("weight", 2), stacked("bias", 2)
        self.norm = nn.BatchNorm1d(count * EMBEDDING, affine=False)

    def forward(self, views: Tensor) -> Tensor:
        """Views (B, K * 4, R, R) to embeddings (K, B, D)."""
        features = self.trunk(views).mean(dim=(2, 3)).unflatten(1, (self._count, -1))
        hidden = torch.baddbmm(
            self.first_bias[:, None], features.transpose(0, 1), self.first.transpose(1, 2)
        ).relu()
        embeddings = torch.baddbmm(self.last_bias[:, None], hidden, self.last.transpose(1, 2))
        joined = self.norm(embeddings.transpose(0, 1).flatten(1))
        return joined.unflatten(1, (self._count, -1)).transpose(0, 1)


def grouped_convolutions(networks: list[NodeNetwork], batches: Tensor, indices: Indices) -> Step:
    network = GroupedNetwork(networks).to(batches.device, memory_format=torch.channels_last)
    optimizer = _optimizer(list(network.parameters()))
    views = batches.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        embeddings = network(views)
        # Each network has a loss of its own; their gradients do not meet.
        torch.stack([triplet_loss(each, indices) for each in embeddings]).sum().backward()
        optimizer.step()

    step.network = network  # type: ignore[attr-defined]
    return step


def stacked_parameters(networks: list[NodeNetwork], batches: Tensor, indices: Indices) -> Step:
    parameters, buffers = stack_module_state(networks)
    template = networks[0]
    # Running statistics are for inference; updating them in place is not possible under vmap.
    template.embedder[3] = nn.BatchNorm1d(EMBEDDING, affine=False, track_running_stats=False)
    buffers = {name: value for name, value in buffers.items() if not name.startswith("embedder.3")}
    for layer in template.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    weights = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    optimizer = _optimizer(list(weights.values()))

    def loss(state: dict[str, Tensor], batch: Tensor) -> Tensor:
        return triplet_loss(functional_call(template, (state, buffers), (batch,)), indices)

    gradients = vmap(grad(loss))

    def step() -> None:
        found = gradients({n: w.detach() for n, w in weights.items()}, batches)
        for name, weight in weights.items():
            weight.grad = found[name]
        optimizer.step()

    return step


WAYS: dict[str, EditCandidate] = {
    "one after the other": one_after_the_other,
    "grouped convolutions": grouped_convolutions,
    "stacked parameters": stacked_parameters,
}


def _step(way: EditCandidate, count: int, side: int, device: torch.device, first: int = 0) -> Step:
    """A step of `count` networks, the networks numbered from `first`."""
    networks, batches = [], []
    for number in range(first, first + count):
        networks.append(new_network(EMBEDDING, number).to(device))
        generator = torch.Generator().manual_seed(number)
        batches.append(torch.randn(BATCH, 4, side, side, generator=generator))
    labels = torch.arange(BATCH, device=device) * 2 // BATCH
    return way(networks, torch.stack(batches).to(device), get_all_triplets_indices(labels))


def _in_two_threads(way: EditCandidate, count: int, side: int, pool: ThreadPoolExecutor) -> Step:
    half = count // 2
    parts = ((half, 0), (count - half, half))
    cpu = torch.device("cpu")
    steps = [_step(way, size, side, cpu, first) for size, first in parts]

    def step() -> None:
        list(pool.map(lambda each: each(), steps))

    return step


def measure(count: int, side: int, device: torch.device, rounds: int) -> dict[str, dict]:
    """Least milliseconds of a step of all networks, for each way.

    On the processor `one` is processor time in one thread, and `two` wall time of two threads; on
    an accelerator `one` is wall time until the device has finished.
    """
    best: dict[str, dict] = {name: {} for name in WAYS}
    with ThreadPoolExecutor(2) as pool:
        steps: dict[tuple[str, str], Step] = {}
        for name, way in WAYS.items():
            steps[name, "one"] = _step(way, count, side, device)
            if device.type == "cpu":
                steps[name, "two"] = _in_two_threads(way, count, side, pool)
        for turn in range(rounds + 1):
            for (name, kind), step in steps.items():
                with clock() as took:
                    step()
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                if turn:  # the first builds kernels
                    value = took.cpu if (device.type, kind) == ("cpu", "one") else took.wall
                    best[name][kind] = min(best[name].get(kind, float("inf")), value * 1e3)
    return best


def same_bits(side: int) -> dict[str, bool]:
    """Whether a network has the same first layer after three steps with 3 and with 8 others."""

    def first_weight(way: EditCandidate, count: int) -> Tensor:
        networks = [new_network(EMBEDDING, number) for number in range(count)]
        batches = torch.stack(
            [
                torch.randn(BATCH, 4, side, side, generator=torch.Generator().manual_seed(number))
                for number in range(count)
            ]
        )
        indices = get_all_triplets_indices(torch.arange(BATCH) * 2 // BATCH)
        step = way(networks, batches, indices)
        for _ in range(3):
            step()
        trained = getattr(step, "network", networks[0])
        return trained.trunk[0].weight.detach()[:24]

    chosen = {name: way for name, way in WAYS.items() if way is not stacked_parameters}
    return {
        name: torch.equal(first_weight(way, 4), first_weight(way, 9))
        for name, way in chosen.items()
    }


def section(count: int, side: int, device: torch.device, rounds: int) -> str:
    """One table."""
    figures = measure(count, side, device, rounds)
    base = figures["one after the other"]
    bits = same_bits(side) if device.type == "cpu" else {}
    titles = {"one": "one thread, processor ms", "two": "two threads, wall ms"}
    if device.type != "cpu":
        titles = {"one": "wall ms"}
    rows = [
        [
            name,
            *(
                group
                for kind in titles
                for group in (f"{times[kind]:.0f}", f"{times[kind] / base[kind]:.2f}")
            ),
            {True: "yes", False: "no"}.get(bits.get(name), "not looked at"),
        ]
        for name, times in figures.items()
    ]
    header = ["", *(group for title in titles.values() for group in (title, "ratio")), "same bits"]
    return f"## {count} networks at {side} px, batches of {BATCH}\n\n{table(header, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, nargs="+", default=[9, 36])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(chosen.device)
    build = partial(section, side=chosen.side, device=device, rounds=chosen.rounds)
    text = "\n\n".join(["# Training a level", *map(build, chosen.networks)]) + "\n"
    print(text)
    if chosen.out:
        with write_aside(chosen.out) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
