"""The penalty alone, dropped into an autoencoder and a training loop of your own.

Two networks that know nothing of swae, one more term in their loss: the codes of scikit-learn's
digits fill a square, so that uniform points of it decode to new digits. main(device="cuda") runs
on a GPU: the penalty works where the codes are.

    python examples/plain_loop.py
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from swae import SlicedWassersteinLoss, Uniform
from swae.metrics import match_prior


def networks(width=256, d=2):
    encoder = nn.Sequential(
        nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, d)
    )
    decoder = nn.Sequential(
        nn.Linear(d, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 64)
    )
    return encoder, decoder


def main(epochs=100, reg_weight=10.0, seed=0, device="cpu"):
    X = torch.tensor(load_digits().data / 16, dtype=torch.float32, device=device)
    train, test = train_test_split(X, test_size=0.2, random_state=seed)

    torch.manual_seed(seed)  # the networks draw their first weights from torch's own generator
    encoder, decoder = (network.to(device) for network in networks())
    penalty = SlicedWassersteinLoss(Uniform(2), n_projections=50)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    generator = torch.Generator().manual_seed(seed)  # everything that training draws

    for epoch in range(epochs):
        for rows in torch.randperm(len(train), generator=generator).split(100):
            x = train[rows]
            with torch.autocast(device, dtype=torch.bfloat16):
                z = encoder(x)
                logits = decoder(z)
            # Both terms in float32; the penalty casts by itself, even within autocast.
            reconstruction = F.binary_cross_entropy_with_logits(logits.float(), x)
            match = penalty(z, generator=generator)
            loss = reconstruction + reg_weight * match

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}: BCE {reconstruction:.4f}, penalty {match:.5f}")

    with torch.no_grad():
        z = encoder(test)
        mse = F.mse_loss(decoder(z).sigmoid(), test)
        new = decoder(penalty.prior.sample(16, generator, device=z.device)).sigmoid()
    sw2, null = match_prior(z, penalty.prior)[:2]
    return {"mse": float(mse), "sw2_ratio": sw2 / null, "samples": new.view(16, 8, 8).tolist()}


if __name__ == "__main__":
    result = main()
    print(f"held-out MSE {result['mse']:.4f}, SW2 {result['sw2_ratio']:.1f} times its null")
