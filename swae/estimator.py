r"""The estimator: one object that fits, encodes, decodes and samples.

Its constructor is the project's only configuration. The command line's flags are made from its
signature, and a stored model's ``config.json`` holds its parameters. A parameter that is
:py:`None` comes from the preset (:mod:`swae.presets`).
"""

__all__ = ["SWAE"]

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from numbers import Integral
from pathlib import Path
from typing import Any, cast, final, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.utils.data import DataLoader, Dataset

from . import __version__
from .autoencoder import Autoencoder, Output, Reconstruction, check_settings
from .checkpoint import (
    Checkpoint,
    CorruptError,
    from_safetensors,
    read_folder,
    restore_optimizer,
    save_checkpoint,
    to_json,
    to_safetensors,
    write_folder,
)
from .data import (
    ArrayBatches,
    Batches,
    DataError,
    LoaderBatches,
    Samples,
    as_samples,
    holdout,
    to_float,
)
from .linear import LinearDecoder, LinearEncoder, beside_linear, is_bounded, start_at_pca_
from .metrics import Evaluation, evaluate, evaluating
from .networks import Network, build, glorot_, memory_format_for
from .penalties.likelihood import LogLikelihood
from .presets import (
    GROWTH_FROM,
    NAMES,
    NUMBERS,
    PAPER,
    PRESETS,
    STEPS,
    SWITCHES,
    Penalty,
    Preset,
    check_count,
    check_number,
    check_switch,
)
from .priors import (
    FromDistribution,
    FromSamples,
    Prior,
    Ring,
    prior_from_name,
)
from .projections import Slices
from .projections import resolve as resolve_slices
from .seeding import stream, stream_seed
from .sliced import SlicedWassersteinLoss
from .stopping import Best
from .storage import FORMAT, given_again, plain, read_config
from .training import (
    Epoch,
    Optimizer,
    Precision,
    Progress,
    Schedule,
    device_for,
    fabric_for,
    make_optimizer,
    precision_for,
    train_epochs,
)
from .univariate import Cost

logger = logging.getLogger("swae")

Data = Samples | np.ndarray[Any, Any] | Tensor | Dataset[Any] | DataLoader[Any]
r"""What :meth:`SWAE.fit` takes."""

ENOUGH = 20_000
r"""The samples whose PCA a linear path starts at, at most and roughly."""

ENOUGH_BYTES = 2**29
r"""What they may take in float32; PCA takes three times that for a while."""


@final
class SWAE(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    r"""The sliced-Wasserstein autoencoder as an estimator.

    Arguments:
        latent_dim: Dimension d of the codes.
        prior: Law of the codes: a name with its numbers (uniform, normal, ring, circle, bowl,
            ball, sphere, mixture:components=10), or in Python a Prior, an array of samples or a
            torch distribution.
        penalty: Penalty that pulls codes to the prior: sliced-wasserstein, or log-likelihood (Eq.
            5), which wants a prior with a density and shows why the paper does not use it.
        reg_weight: Weight lambda of the penalty (Eq. 16).
        reg_growth: Factor of lambda at the start of each epoch from the twelfth on.
        n_projections: Number L of directions a step.
        p: Exponent of the distance, at least 1.
        slices: How directions are chosen: auto, iid, orthogonal, equispaced or principal.
        quasi: Whether the prior is sampled quasi-randomly in training.
        oversampling: Samples of the prior for each code.
        stratified: Whether a ring's angles are evenly spaced within a batch.
        network: Built-in network: auto, convolutional or mlp.
        linear: Whether the networks stand beside a linear path that starts at PCA; for many codes
            with a uniform or normal prior, and a linear output.
        reconstruction: Cost of a reconstruction: bce+l1, bce, l1, mse, or in Python a function.
        output: Activation of the decoder's output: sigmoid for data in [0, 1], or linear.
        optimizer: Optimiser: adam, adamw or rmsprop.
        learning_rate: Peak of the learning rate.
        schedule: Course of the learning rate: constant, cosine or one-cycle.
        max_epochs: Number of epochs, for which the schedule is made.
        batch_size: Samples a step.
        drop_last: Whether the last, smaller batch of an epoch is left out.
        validation_size: Share (below 1) or number of training samples that are held back.
        patience: Epochs without improvement on the held-back samples after which training stops
            and the best weights are kept; None never stops early.
        preset: Where parameters that are None come from: best, paper or authors.
        precision: Precision of training: auto, 32, bf16 or 16.
        device: Device: auto, cpu, cuda or mps.
        random_state: Seed of every draw.
        encoder: Your own encoder, a torch module from data to codes; with decoder.
        decoder: Your own decoder, a torch module from codes to logits; with encoder.

    Example:
        >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
        >>> model = SWAE(max_epochs=2).fit(X)
        >>> model.transform(X).shape
        (200, 2)
        >>> model.sample(3).shape
        (3, 8)
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        prior: Any = None,  # noqa: ANN401 - a name, a Prior, an array or a distribution
        penalty: Penalty = "sliced-wasserstein",
        reg_weight: float | None = None,
        reg_growth: float | None = None,
        n_projections: int | None = None,
        p: Cost = 2.0,
        slices: Slices | None = None,
        quasi: bool | None = None,
        oversampling: int | None = None,
        stratified: bool | None = None,
        network: Network = "auto",
        linear: bool = False,
        reconstruction: Reconstruction | Callable[[Tensor, Tensor], Tensor] | None = None,
        output: Output | None = None,
        optimizer: Optimizer | None = None,
        learning_rate: float | None = None,
        schedule: Schedule | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        drop_last: bool | None = None,
        validation_size: float | None = None,
        patience: int | None = None,
        preset: Preset = "best",
        precision: Precision = "auto",
        device: str = "auto",
        random_state: int = 0,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.prior = prior
        self.penalty = penalty
        self.reg_weight = reg_weight
        self.reg_growth = reg_growth
        self.n_projections = n_projections
        self.p = p
        self.slices = slices
        self.quasi = quasi
        self.oversampling = oversampling
        self.stratified = stratified
        self.network = network
        self.linear = linear
        self.reconstruction = reconstruction
        self.output = output
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.validation_size = validation_size
        self.patience = patience
        self.preset = preset
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.encoder = encoder
        self.decoder = decoder

    # --- fitting

    def fit(self, X: Data, y: Any = None) -> "SWAE":  # noqa: ANN401 - labels of any kind
        r"""Trains a new model.

        Arguments:
            X: The data: an array or tensor with shape :math:`(n, *)`, channels first, uint8 or in
                [0, 1] for a cross-entropy; :class:`swae.data.Samples`; or a torch dataset or data
                loader, whose augmentation is applied.
            y: The labels, with shape :math:`(n)`. The paper's penalty does not use them.

        Returns:
            The estimator, fitted.

        Raises:
            ValueError: If a parameter or the data can't work.
            DivergedError: If the loss becomes infinite or NaN.
        """

        for _ in self.fit_epochs(X, y):
            pass
        return self

    def fit_epochs(
        self,
        X: Data,
        y: Any = None,  # noqa: ANN401 - labels of any kind
        *,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Epoch]:
        r"""Prepares a new model, and returns an iterator that trains it epoch by epoch.

        Everything that can be refused is refused by the call; break to stop between two epochs.

        Arguments:
            X: The data, as for :meth:`fit`.
            y: The labels.
            checkpoint: Where an earlier run with the same parameters and data stood; training
                goes on from there.
            progress: Called after each step with the step, the number of samples and the parts
                of the loss.

        Returns:
            The iterator of the epochs' records. The estimator is usable after each.

        Raises:
            ValueError: If a parameter or the data can't work.
            DivergedError: While iterating, if a loss or a gradient is not finite.
        """

        self.check()
        train, self.validation_ = self._split(X, y)
        self.settings_ = self._resolve(train)
        batches = self._batches(train)
        self.sample_shape_ = batches.shape
        self.n_features_in_ = math.prod(batches.shape)
        self.samples_per_epoch_ = batches.n
        self.fingerprint_ = train.fingerprint() if isinstance(train, Samples) else None
        self._check_range(train)
        self.fabric_ = fabric_for(self.device, self.settings_["precision"])
        self.autoencoder_ = self._build()
        if self.linear and checkpoint is None:
            self._start_at_pca(batches)
        self.autoencoder_.to(self.fabric_.device)
        self.optimizer_ = make_optimizer(
            self.settings_["optimizer"], self.autoencoder_, self.settings_["learning_rate"]
        )
        self.best_ = Best(self.patience)
        self.n_epochs_ = 0
        if checkpoint is not None:
            self._restore(checkpoint)

        return self._epochs(batches, progress)

    def _epochs(self, batches: Batches, progress: Progress | None) -> Iterator[Epoch]:
        r"""Trains what :meth:`fit_epochs` has prepared."""

        epochs = train_epochs(
            self.autoencoder_,
            batches,
            self.optimizer_,
            max_epochs=self.settings_["max_epochs"],
            start=self.n_epochs_,
            schedule=self.settings_["schedule"],
            seed=self.random_state,
            fabric=self.fabric_,
            progress=progress,
        )
        # Asked before the first epoch too: a checkpoint may be the last one's.
        while not self.best_.is_over(self.n_epochs_):
            self._weigh(self.n_epochs_)
            epoch = next(epochs, None)
            if epoch is None:
                break
            self.n_epochs_ = epoch.number
            if self.patience is not None:
                self.best_.offer(self._objective(), epoch.number, self.autoencoder_)
            yield epoch
        else:
            logger.info("Stopped early; the best epoch was %d.", self.best_.epoch)
        if self.best_.state is not None:
            self.autoencoder_.load_state_dict(self.best_.state)

    def _restore(self, checkpoint: Checkpoint) -> None:
        r"""Puts model, optimiser and the best epoch where a checkpoint has them."""

        if checkpoint.info.get("data") != self.fingerprint_:
            raise DataError(
                "The data is not what the checkpoint was trained on, so training can't go on with "
                "it; give the same data, or begin anew."
            )
        try:
            self.autoencoder_.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise ValueError(
                "The checkpoint does not fit: it is of a model with other settings, or of data "
                f"with another shape than {self.sample_shape_}."
            ) from error
        restore_optimizer(self.optimizer_, checkpoint.optimizer)
        self.best_.restore(checkpoint)
        self.n_epochs_ = checkpoint.epoch

    def resolve(self, X: Data, y: Any = None) -> dict[str, Any]:  # noqa: ANN401 - labels
        r"""Returns all parameters as they are for this data, those of the preset filled in."""

        self.check()
        return self._resolve(self._split(X, y)[0])

    def check(self) -> None:
        r"""Refuses parameters that can't work with any data.

        Raises:
            ValueError: With the parameter's name, what it is and what it may be.
        """

        for name, known in NAMES.items():
            value = self._value(name)
            if value not in get_args(known):
                raise ValueError(f"{name} has to be one of {get_args(known)}, but is {value!r}.")
        for name, zero in NUMBERS.items():
            check_number(name, self._value(name), zero=zero)
        for name in (*SWITCHES, "linear"):
            check_switch(name, self._value(name))
        check_count("latent_dim", self.latent_dim)
        for name in ("batch_size", "max_epochs", "patience"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        seed = self.random_state
        if not isinstance(seed, Integral) or isinstance(seed, bool):
            raise ValueError(f"random_state has to be a whole number, but is {seed!r}.")
        check_settings(
            self._setting("reconstruction"), self._setting("output"), self._setting("reg_weight")
        )
        resolve_slices(self._setting("slices"), self.latent_dim)
        if self.linear and self._setting("output") != "linear":
            raise ValueError("linear wants output='linear' (and reconstruction='mse' or 'l1').")
        penalty = self._penalty()
        if self.linear:
            is_bounded(penalty.prior)
        device_for(self.device)
        if self.patience is not None and not self._setting("validation_size"):
            raise ValueError("patience wants validation_size > 0: samples to judge an epoch by.")

    def save_checkpoint(self, folder: Path) -> Path:
        r"""Writes a checkpoint between two epochs of :meth:`fit_epochs`."""

        return save_checkpoint(
            folder,
            self.n_epochs_,
            self.autoencoder_,
            self.optimizer_,
            extra=self.best_.state,
            info={
                "best": self.best_.value,
                "best_epoch": self.best_.epoch,
                "data": self.fingerprint_,
            },
        )

    def _split(self, X: Data, y: Any) -> tuple[Samples | LoaderBatches, Samples | None]:  # noqa: ANN401
        r"""Holds samples back; a dataset or a loader is taken as it is."""

        if y is not None and isinstance(X, Samples | Dataset | DataLoader):
            raise ValueError(
                f"y has to be left out with a {type(X).__name__}, which holds its own labels."
            )
        if isinstance(X, Dataset | DataLoader):
            return self._loaded(X), None

        size = self._setting("validation_size")
        if size >= 1 and size != int(size):
            raise ValueError(f"validation_size has to be whole above 1, but is {size!r}.")
        size = int(size) if size >= 1 else size
        samples = X if isinstance(X, Samples) else as_samples(X, y)
        if size == 0:
            return samples, None
        if len(samples) < 2 or not 0 < size < len(samples):
            raise ValueError(
                f"validation_size has to leave samples to train on and samples to judge by, but "
                f"is {size!r} of {len(samples)}; 0 holds none back."
            )
        kept, held = holdout(len(samples), size, seed=self.random_state)
        return samples.select(kept), samples.select(held)

    def _loaded(self, data: Dataset[Any] | DataLoader[Any]) -> LoaderBatches:
        r"""Makes batches of a dataset; a data loader has its own."""

        if self.validation_size or self.patience is not None:
            raise ValueError(
                "validation_size and patience hold back samples of arrays; give a dataset or data "
                "loader without the samples that you hold back."
            )
        batch_size, drop_last = self.batch_size, bool(self.drop_last)
        if not isinstance(data, DataLoader):
            batch_size = self._batch_size(len(data) if isinstance(data, Sized) else 0)
            drop_last = self._setting("drop_last")
        return LoaderBatches(data, batch_size, seed=self.random_state, drop_last=drop_last)

    def _batch_size(self, n: int) -> int:
        r"""Returns the samples a step, which may follow from the number of samples."""

        size: int | None = self._setting("batch_size")
        return min(125, max(50, n // 16)) if size is None else size

    def _value(self, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
        r"""Returns a parameter, of the preset where it has one and the parameter is None."""

        return self._setting(name) if name in PAPER else getattr(self, name)

    def _setting(self, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
        r"""Returns a parameter, or what the preset says where it is None."""

        if self.preset not in get_args(Preset):
            raise ValueError(
                f"preset has to be one of {get_args(Preset)}, but is {self.preset!r}."
            )
        value = getattr(self, name)
        return PRESETS[self.preset][name] if value is None else value

    def _resolve(self, train: Samples | LoaderBatches) -> dict[str, Any]:
        r"""Returns the parameters without a None that stands for something else."""

        settings = self.get_params(deep=False)
        settings |= {name: self._setting(name) for name in PRESETS["best"]}
        settings["precision"] = precision_for(device_for(self.device), self.precision)
        if isinstance(train, LoaderBatches):
            steps, settings["validation_size"] = len(train), 0
            settings["batch_size"] = train.loader.batch_size or self._batch_size(train.n)
        else:
            settings["batch_size"] = self._batch_size(len(train))
            steps = -(-len(train) // settings["batch_size"])
        if settings["max_epochs"] is None:
            settings["max_epochs"] = max(20, -(-STEPS // steps))
        return settings

    def _batches(self, train: Samples | LoaderBatches) -> Batches:
        if isinstance(train, LoaderBatches):
            return train
        s = self.settings_
        return ArrayBatches(
            train, s["batch_size"], seed=self.random_state, drop_last=s["drop_last"]
        )

    def _check_range(self, train: Samples | LoaderBatches) -> None:
        r"""Refuses data that a sigmoid can't give, or a cross-entropy compare, before training."""

        if self.settings_["output"] != "sigmoid":
            return
        if isinstance(train, Samples) and train.dtype == torch.uint8:
            return
        x = next(train.epoch(0)).x if isinstance(train, LoaderBatches) else train.x
        if x.min() >= 0 and x.max() <= 1:
            return
        raise DataError(
            "output='sigmoid' and a cross-entropy want data in [0, 1], but the data reaches from "
            f"{float(x.min()):.4g} to {float(x.max()):.4g}; scale it, or use "
            "reconstruction='mse' and output='linear'."
        )

    def _prior(self, *, stratified: bool = False) -> Prior:
        r"""Creates the law of the codes from whatever the parameter is."""

        given = self._setting("prior")
        match given:
            case str():
                prior = prior_from_name(given, self.latent_dim, stratified=stratified)
            case Prior():
                prior = copy.deepcopy(given)
            case Distribution():
                prior = FromDistribution(given)
            case _:
                prior = FromSamples(given)
        if prior.dim != self.latent_dim:
            raise ValueError(
                f"The prior has {prior.dim} dimensions, but latent_dim is {self.latent_dim}."
            )
        return prior

    def _penalty(self) -> SlicedWassersteinLoss | LogLikelihood:
        r"""Creates the penalty that the parameters describe."""

        if self.penalty == "log-likelihood":
            return LogLikelihood(self._prior())
        return SlicedWassersteinLoss(
            self._prior(stratified=self._setting("stratified")),
            self._setting("n_projections"),
            self.p,
            self._setting("slices"),
            self._setting("quasi"),
            self._setting("oversampling"),
        )

    def _build(self) -> Autoencoder:
        r"""Creates the untrained model, without touching torch's global generator."""

        if (self.encoder is None) != (self.decoder is None):
            raise ValueError("encoder and decoder have to be given together.")

        s = self.settings_
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self.random_state, "weights"))
            encoder, decoder = copy.deepcopy((self.encoder, self.decoder))
            if encoder is None or decoder is None:
                encoder, decoder = self._networks()
                glorot_(encoder)
                glorot_(decoder)
        model = Autoencoder(
            encoder, decoder, self._penalty(), s["reconstruction"], s["output"], s["reg_weight"]
        )
        if self.encoder is None:
            form = memory_format_for(self.sample_shape_)
            model.to(memory_format=form)  # type: ignore[call-overload]
        return model

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        r"""Creates the built-in networks that the parameters describe."""

        networks = build(self.sample_shape_, self.latent_dim, self.network)
        if not self.linear:
            return networks
        return beside_linear(*networks, self.sample_shape_, self._prior())

    def _start_at_pca(self, batches: Batches) -> None:
        r"""Puts the linear path where PCA of the first samples of an epoch has it."""

        enough = min(ENOUGH, ENOUGH_BYTES // (4 * self.n_features_in_))
        parts: list[Tensor] = []
        for batch in batches.epoch(0):
            parts.append(batch.x.cpu())
            if sum(map(len, parts)) >= enough:
                break
        encoder = cast(LinearEncoder, self.autoencoder_.encoder)
        decoder = cast(LinearDecoder, self.autoencoder_.decoder)
        start_at_pca_(encoder, decoder, torch.cat(parts), seed=self.random_state)

    def _weigh(self, epoch: int) -> None:
        r"""Sets lambda for the epoch with an index."""

        growth = self.settings_["reg_growth"] ** max(0, epoch - GROWTH_FROM + 1)
        self.autoencoder_.reg_weight = self.settings_["reg_weight"] * growth

    @torch.no_grad()
    def _objective(self) -> float:
        r"""Computes the loss on the samples held back, with the same draws at each call."""

        model, held = self.autoencoder_, cast(Samples, self.validation_)
        with evaluating(model):
            losses = [
                len(part)
                * model.loss(
                    to_float(part).to(self.fabric_.device),
                    generator=stream(self.random_state, "validation", i),
                ).total
                for i, part in enumerate(held.chunks(self.settings_["batch_size"]))
            ]
        return float(torch.stack(losses).sum()) / len(held)

    # --- using

    def transform(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Encodes data.

        Arguments:
            X: The data, with shape :math:`(n, *)` of the training data's samples.

        Returns:
            The codes, with shape :math:`(n, d)`, in float32.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the samples' shape is another.
        """

        samples = X if isinstance(X, Samples) else as_samples(X)
        self._check_shape(samples.shape, self.fitted_.sample_shape_, "X")
        return self._apply(self.autoencoder_.encode, samples)

    def inverse_transform(self, Z: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Decodes codes.

        Arguments:
            Z: The codes, with shape :math:`(n, d)`.

        Returns:
            The data, with shape :math:`(n, *)`, in float32; in [0, 1] for a sigmoid output.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the codes have another width.
        """

        codes = as_samples(Z)
        self._check_shape(codes.shape, (self.fitted_.latent_dim,), "Z")
        plain = Samples(codes.x.float())  # bytes are no shares here
        return self._apply(self.autoencoder_.decode, plain)

    def reconstruct(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Encodes and decodes data, with shape :math:`(n, *)`."""

        return self.inverse_transform(self.transform(X))

    def sample(self, n: int = 1, *, seed: int | None = None) -> np.ndarray[Any, Any]:
        r"""Generates data: decodes codes drawn from the prior.

        Arguments:
            n: The number of samples.
            seed: The seed of the draw; ``random_state`` if :py:`None`. The same seed gives the
                same samples.

        Returns:
            The data, with shape :math:`(n, *)`, in float32.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If n is less than 1.
        """

        check_count("n", n)
        return self.inverse_transform(self.fitted_.sample_codes(n, seed=seed))

    def sample_codes(self, n: int, *, seed: int | None = None) -> np.ndarray[Any, Any]:
        r"""Draws codes from the prior, with shape :math:`(n, d)`; see :meth:`sample`."""

        generator = stream(self.random_state if seed is None else seed, "sample")
        codes: np.ndarray[Any, Any] = self.prior_.sample(n, generator).numpy(force=True)
        return codes

    def evaluate(self, X: Any) -> Evaluation:  # noqa: ANN401 - any array
        r"""Measures reconstruction and match on data, in eval mode and float32.

        Arguments:
            X: The data, with shape :math:`(n, *)`.

        Returns:
            The figures, see :class:`swae.metrics.Evaluation`.
        """

        samples = X if isinstance(X, Samples) else as_samples(X)
        self._check_shape(samples.shape, self.fitted_.sample_shape_, "X")
        return evaluate(self.autoencoder_, samples, self.prior_)

    @property
    def fitted_(self) -> "SWAE":
        r"""The estimator itself, if there is a model."""

        if not hasattr(self, "autoencoder_"):
            raise NotFittedError("This SWAE is not fitted yet; call fit, or SWAE.load.")
        return self

    @property
    def prior_(self) -> Prior:
        r"""The law of the codes that was trained for, drawn without strata."""

        prior = copy.copy(cast(Prior, self.fitted_.autoencoder_.penalty.prior))
        if isinstance(prior, Ring):
            prior.stratified = False
        return prior

    @torch.no_grad()
    def _apply(
        self, function: Callable[[Tensor], Tensor], samples: Samples, chunk: int = 1000
    ) -> np.ndarray[Any, Any]:
        r"""Applies a part of the model in eval mode, chunk by chunk."""

        device = next(self.autoencoder_.parameters()).device
        with evaluating(self.autoencoder_):
            parts = [function(to_float(part).to(device)).cpu() for part in samples.chunks(chunk)]
        result: np.ndarray[Any, Any] = torch.cat(parts).numpy()
        return result

    @staticmethod
    def _check_shape(got: tuple[int, ...], wanted: tuple[int, ...], name: str) -> None:
        if tuple(got) != tuple(wanted):
            raise DataError(
                f"The samples of {name} have shape {tuple(got)}, but the model wants "
                f"{tuple(wanted)}."
            )

    # --- made elsewhere, and on disk

    @classmethod
    def from_weights(
        cls,
        encoder: Mapping[str, Tensor],
        decoder: Mapping[str, Tensor],
        shape: Sequence[int],
        **params: Any,  # noqa: ANN401 - parameters
    ) -> "SWAE":
        r"""Creates a fitted estimator of weights that were trained elsewhere.

        Arguments:
            encoder: The state of the encoder that the parameters describe.
            decoder: The state of the decoder.
            shape: The shape of one sample.
            params: Parameters of the estimator.

        Returns:
            The fitted estimator. It counts no epoch, as none was trained here.

        Raises:
            ValueError: If a parameter can't work, or a state does not fit its network.
        """

        model = cls(**params)
        model.check()
        model._describe(shape, epochs=0)
        model.settings_ |= {name: model._setting(name) for name in PAPER}
        model.autoencoder_ = model._build().to(device_for(model.device))
        try:
            model.autoencoder_.encoder.load_state_dict(encoder)
            model.autoencoder_.decoder.load_state_dict(decoder)
        except RuntimeError as error:
            raise ValueError(
                f"The weights have to be of the networks that the parameters describe: {error}"
            ) from error
        return model

    def _describe(self, shape: Sequence[int], epochs: int) -> None:
        r"""Sets what is known of a model besides its weights."""

        self.sample_shape_ = tuple(shape)
        self.n_features_in_ = math.prod(shape)
        self.n_epochs_ = epochs
        self.validation_ = None
        self.settings_ = self.get_params(deep=False)

    def save(self, folder: str | Path) -> None:
        r"""Writes the model: weights, configuration and a manifest of their sha256 sums.

        Networks, functions and distributions of your own are not written, only their weights;
        give them again to :meth:`load`.

        Arguments:
            folder: The folder; a model in it is replaced.
        """

        state = self.fitted_.autoencoder_.state_dict()
        config = {
            "format": FORMAT,
            "swae": __version__,
            "shape": list(self.sample_shape_),
            "epochs": self.n_epochs_,
            "params": {name: plain(value) for name, value in self.settings_.items()},
        }
        write_folder(
            Path(folder),
            {"model.safetensors": to_safetensors(state), "config.json": to_json(config)},
        )

    @classmethod
    def load(cls, folder: str | Path, **params: Any) -> "SWAE":  # noqa: ANN401 - parameters
        r"""Reads a model.

        Arguments:
            folder: The folder that :meth:`save` wrote.
            params: Parameters to set anew: ``device``, and those that a file can't hold (your own
                ``encoder`` and ``decoder``, ``prior``, ``reconstruction``, ``p``).

        Returns:
            The fitted estimator.

        Raises:
            CorruptError: If a file is missing, is not what was written, or does not fit.
            ValueError: If something that a file can't hold is missing.
        """

        folder = Path(folder)
        files = read_folder(folder)
        config = read_config(files, folder, cls().get_params())
        state = from_safetensors(files["model.safetensors"], folder / "model.safetensors")
        model = cls(**given_again(config["params"], params, state))
        model._describe(config["shape"], config["epochs"])
        device = device_for(model.device)
        try:
            model.autoencoder_ = model._build_stored(state).to(device)
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            if params.keys() - {"device"}:
                raise
            raise CorruptError(
                f"The weights in {folder} do not fit its configuration: {error}"
            ) from error
        return model

    def _build_stored(self, state: dict[str, Tensor]) -> Autoencoder:
        r"""Creates the model of stored weights, and no larger one than those."""

        if self.encoder is None:
            with torch.device("meta"):
                networks = self._networks()
            for part, network in zip(("encoder", "decoder"), networks, strict=True):
                for name, tensor in network.state_dict(prefix=f"{part}.").items():
                    if name not in state or state[name].shape != tensor.shape:
                        raise ValueError(f"{name} is not of shape {tuple(tensor.shape)}.")
        self.check()
        model = self._build()
        model.load_state_dict(state)
        return model
