"""The penalty alone in a loop of your own under Accelerate, on whatever devices there are.

The module's `forward` returns codes and logits, so that Accelerate's wrapper (autocast, and DDP
where there are several processes) sees the call. The penalty gathers the codes of all processes
by itself and matches them as one batch: batches of 100 in 2 processes are one of 200.

    python examples/accelerate_loop.py    # or accelerate launch examples/accelerate_loop.py
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, random_split

from swae import Ball, SlicedWassersteinLoss
from swae.metrics import match_prior
from swae.seeding import stream


class Net(nn.Module):
    """A convolutional autoencoder of 8x8 images."""

    def __init__(self, d):
        super().__init__()
        narrow = nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.SiLU(), nn.Flatten()
        widen = nn.Unflatten(1, (32, 4, 4)), nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1)
        self.encoder = nn.Sequential(*narrow, nn.Linear(512, 256), nn.SiLU(), nn.Linear(256, d))
        self.decoder = nn.Sequential(
            nn.Linear(d, 256), nn.SiLU(), nn.Linear(256, 512), nn.SiLU(), *widen
        )

    def forward(self, x):
        z = self.encoder(x)
        return z, self.decoder(z)


def main(epochs=50, reg_weight=10.0, seed=0, cpu=False):
    accelerator = Accelerator(mixed_precision="bf16", cpu=cpu)
    set_seed(seed)  # the first weights, the same in all processes
    X = torch.tensor(load_digits().images[:, None] / 16, dtype=torch.float32)
    train, test = random_split(X, [0.8, 0.2], torch.Generator().manual_seed(seed))

    net, penalty = Net(d=2), SlicedWassersteinLoss(Ball(2))
    order = torch.Generator().manual_seed(seed)
    net, optimizer, loader = accelerator.prepare(
        net,
        torch.optim.Adam(net.parameters(), lr=2e-3),
        DataLoader(train, batch_size=100, shuffle=True, generator=order),
    )

    step = 0
    for _ in range(epochs):
        for x in loader:
            z, logits = net(x)  # computed in bfloat16, handed over in float32
            match = penalty(z, generator=stream(seed, "penalty", step))  # alike in all processes
            loss = F.binary_cross_entropy_with_logits(logits, x) + reg_weight * match
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            step += 1

    net = accelerator.unwrap_model(net, keep_fp32_wrapper=False).eval()
    with torch.no_grad():
        x = X[test.indices].to(accelerator.device)
        z, logits = net(x)
        new = net.decoder(penalty.prior.sample(16, stream(seed, "sample"), device=x.device))
    sw2, null = match_prior(z, penalty.prior)[:2]
    mse = float(F.mse_loss(logits.sigmoid(), x))
    return {"mse": mse, "sw2_ratio": sw2 / null, "samples": new.sigmoid().squeeze(1).tolist()}


if __name__ == "__main__":
    result = main()
    print(f"held-out MSE {result['mse']:.4f}, SW2 {result['sw2_ratio']:.1f} times its null")
