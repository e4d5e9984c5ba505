"""An Autoencoder of two networks of your own, trained by Lightning.

Lightning owns the loop, devices, precision and logging; `Autoencoder.loss` gives the total and its
parts by name. What a step draws follows from the seed and the step alone, so a run that goes on
from a checkpoint goes on as if it had not stopped. Batches of 100 on 2 devices are one of 200.

    python examples/lightning_module.py
"""

import itertools

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, random_split

from swae import Autoencoder, Ring, SlicedWassersteinLoss
from swae.metrics import evaluate
from swae.seeding import stream


def dense(*widths):
    layers = [(nn.Linear(*pair), nn.SiLU()) for pair in itertools.pairwise(widths)]
    return nn.Sequential(*itertools.chain(*layers))[:-1]


class Digits(lightning.LightningModule):
    def __init__(self, seed=0, lr=2e-3):
        super().__init__()
        self.save_hyperparameters()
        self.model = Autoencoder(
            encoder=dense(64, 256, 256, 2),
            decoder=dense(2, 256, 256, 64),  # to logits: the sigmoid is the model's
            penalty=SlicedWassersteinLoss(Ring()),
            reg_weight=10.0,
        )

    def training_step(self, x):
        # No rank in the address: all devices draw alike, and share the directions out.
        drawn = stream(self.hparams.seed, "penalty", self.global_step)
        loss = self.model.loss(x, generator=drawn)
        self.log_dict(loss.parts, on_step=False, on_epoch=True)
        return loss.total

    def validation_step(self, x):
        loss = self.model.loss(x, generator=stream(self.hparams.seed, "validation"))
        self.log("held_out", loss.total, prog_bar=True, sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def main(epochs=100, seed=0, accelerator="auto"):
    lightning.seed_everything(seed, verbose=False)  # the first weights
    X = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    train, test = random_split(X, [0.8, 0.2], torch.Generator().manual_seed(seed))
    order = torch.Generator().manual_seed(seed)

    module = Digits(seed)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        precision="bf16-mixed",  # the loss stays in float32
        check_val_every_n_epoch=5,
        logger=False,
        enable_checkpointing=False,
    )
    loader = DataLoader(train, batch_size=100, shuffle=True, generator=order)
    trainer.fit(module, loader, DataLoader(test, batch_size=len(test)))
    model = module.model
    figures = evaluate(model, X[test.indices], model.penalty.prior).flat()
    new = model.sample(16, stream(seed, "sample")).view(16, 8, 8)
    return {"mse": figures["mse"], "sw2_ratio": figures["sw2_ratio"], "samples": new.tolist()}


if __name__ == "__main__":
    result = main()
    print(f"held-out MSE {result['mse']:.4f}, SW2 {result['sw2_ratio']:.1f} times its null")
