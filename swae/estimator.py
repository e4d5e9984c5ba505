r"""The estimator: one object that fits, encodes, decodes and samples.

Its constructor is the project's only configuration. The command line's flags are made from its
signature, and a stored model's ``config.json`` holds its parameters. A parameter that is
:py:`None` comes from the preset (:mod:`swae.presets`).
"""

__all__ = ["SWAE"]

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast, final

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import validate_data
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .anomaly import PROBES, Typical, nearest_to, normality, row_errors, typical
from .autoencoder import Autoencoder, Output, Reconstruction, check_has_null
from .building import check_fits, model_of, penalty_of, start_at_data_, stored_model
from .card import model_card
from .checkpoint import (
    Checkpoint,
    Kept,
    keep_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    write_checkpoint,
)
from .classes import (
    Classes,
    Label,
    check_components,
    check_name_of,
    component_named,
    components_for,
    components_for_batches,
    labelled,
)
from .data import (
    ArrayBatches,
    Batches,
    DataError,
    LoaderBatches,
    Samples,
    as_samples,
    in_order,
    to_float,
)
from .distributed import agreed
from .expected import check_shapes
from .feeding import (
    Train,
    batches_of,
    fingerprint_of,
    first_of,
    hold_back,
    hold_back_shards,
    loaded,
    some_of,
)
from .joining import all_alike, told
from .laws import check_same_law, kind_of_file
from .linear import is_bounded
from .metrics import Evaluation, evaluate, evaluating, filled
from .networks import Network
from .presets import GROWTH_FROM, PAPER, Penalty, Preset, check_count
from .priors import Mixture, Prior, Ring
from .projections import Slices
from .schema import Schema, check_numbers, frame_columns, learn
from .seeding import stream
from .settings import check, check_range, check_seed, output_for, resolve, setting
from .shards import Rows, Shards
from .sharing import download, upload
from .steering import multiple_of
from .stopping import Best, objective
from .storage import (
    as_given,
    blaming,
    given_again,
    home_of,
    open_model,
    read_state,
    shortened,
    stored_prior,
    write_model,
)
from .training import (
    DivergedError,
    Epoch,
    Optimizer,
    Precision,
    Progress,
    Schedule,
    UnderWay,
    check_ranks,
    device_for,
    fabric_for,
    make_optimizer,
    train_epochs,
    under_way_of,
)
from .univariate import Cost

logger = logging.getLogger("swae")

Keep = Callable[[Callable[[], Kept]], None]
r"""What is asked after a step whether a checkpoint is wanted."""

Data = Rows | np.ndarray[Any, Any] | Tensor | Dataset[Any] | DataLoader[Any]
r"""What :meth:`SWAE.fit` takes, and whatever scikit-learn makes an array of, as a data frame."""

CHUNK = 1000
r"""The samples that are encoded or decoded at once."""

KEPT = 2000
r"""The training samples that are kept to measure what is typical, at most."""


COLUMNS = ("n_features_in_", "feature_names_in_")
r"""What scikit-learn keeps of the columns that an estimator was fitted to."""


class Given(NamedTuple):
    r"""What fit is given.

    Arguments:
        train: What is trained on.
        held: What epochs are judged by, if anything is.
        schema: The form of the samples; a dataset or loader has that of its batches.
        classes: The classes that the labels are, where they count.
    """

    train: Train
    held: Rows | None
    schema: Schema | None
    classes: list[Label] | None


@final
class SWAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    r"""The sliced-Wasserstein autoencoder as an estimator.

    Where :mod:`torch.distributed` is initialised, all its ranks are to call :meth:`fit` with the
    same data, and train one model (:mod:`swae.training`).

    Arguments:
        latent_dim: Dimension d of the codes.
        prior: Law of the codes: a name with its numbers (uniform, normal, ring, circle, bowl,
            ball, sphere, mixture:components=10), image:FILE (a picture, dark is dense) or
            samples:FILE (.npy, .npz, .csv), or in Python a Prior, an array of samples, a Pillow
            image, a torch distribution or a function f(n, generator).
        penalty: Penalty that pulls codes to the prior: sliced-wasserstein, or log-likelihood (Eq.
            5), which wants a prior with a density and shows why the paper does not use it.
        conditional: Whether labels choose the component of a mixture prior; unlabelled rows (-1)
            match the whole mixture.
        reg_weight: Weight lambda of the penalty (Eq. 16); or auto, which finds it in training such
            that the penalty is 1.1 times what perfect codes have, or auto:1.5 for 1.5 times.
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
        image_shape: Shape of a sample, channels first, where the rows of the data are flat:
            (1, 28, 28) of an image, (3, 500) of a time series, (1, 16, 16, 16) of a volume.
        standardize: Whether the model brings each column, or each channel, to mean 0 and
            deviation 1 and back; None for data that are not in [0, 1].
        reconstruction: Cost of a reconstruction: bce+l1, bce, l1, mse, or in Python a function;
            None is the preset's for data in [0, 1], else mse.
        output: Activation of the decoder's output: sigmoid for data in [0, 1], or linear; None is
            the one that fits the data.
        optimizer: Optimiser: adam, adamw or rmsprop.
        learning_rate: Peak of the learning rate.
        schedule: Course of the learning rate: constant, cosine or one-cycle.
        max_epochs: Number of epochs, for which the schedule is made.
        batch_size: Samples a step.
        micro_batch_size: Samples that pass the networks at a time, where memory allows fewer than
            batch_size; the step is that of the whole batch all the same. None is the whole batch.
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

    typical_: Typical | None
    classes_: list[Label]
    evaluation_: dict[str, float | None] | None

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        prior: Any = None,  # noqa: ANN401 - what swae.laws lists
        penalty: Penalty = "sliced-wasserstein",
        conditional: bool = False,
        reg_weight: float | str | None = None,
        reg_growth: float | None = None,
        n_projections: int | None = None,
        p: Cost = 2.0,
        slices: Slices | None = None,
        quasi: bool | None = None,
        oversampling: int | None = None,
        stratified: bool | None = None,
        network: Network = "auto",
        linear: bool = False,
        image_shape: tuple[int, ...] | None = None,
        standardize: bool | None = None,
        reconstruction: Reconstruction | Callable[[Tensor, Tensor], Tensor] | None = None,
        output: Output | None = None,
        optimizer: Optimizer | None = None,
        learning_rate: float | None = None,
        schedule: Schedule | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        micro_batch_size: int | None = None,
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
        self.conditional = conditional
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
        self.image_shape = image_shape
        self.standardize = standardize
        self.reconstruction = reconstruction
        self.output = output
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
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
            X: The data: an array, tensor or data frame with shape :math:`(n, *)`, channels first;
                :class:`swae.data.Samples`; :class:`swae.shards.Shards`; or a torch dataset or
                data loader, whose augmentation is applied. Bytes stand for [0, 1]. With
                ``image_shape`` rows may be flat.
            y: The labels, with shape :math:`(n)`, for ``conditional``: whole numbers or strings;
                -1, NaN or None where a label is not known. The paper's penalty uses none. The
                labels of a dataset or loader are components of the prior, from 0, and nobody
                looks whether each occurs: let ``prior`` have as many, "mixture:components=3".

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
        keep: Keep | None = None,
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
            keep: Called after each step within an epoch with a function that returns a checkpoint
                for that moment, as :meth:`swae.checkpoint.Keeper.offer_within` wants it.

        Returns:
            The iterator of the epochs' records. The estimator is usable after each.

        Raises:
            ValueError: If a parameter or the data can't work.
            DivergedError: While iterating, if a loss or a gradient is not finite.
        """

        with all_alike() as facts:
            self.check()
            batches = self._begin(self._given(X, y), fresh=checkpoint is None)
            self.best_ = Best(self.patience)
            if checkpoint is not None:
                self._restore(checkpoint, batches)
            facts |= self._facts()

        return self._epochs(batches, progress, keep)

    def partial_fit(self, X: Data, y: Any = None) -> "SWAE":  # noqa: ANN401 - labels of any kind
        r"""Trains one more epoch, on a part of data that comes in parts.

        The first part decides what follows from data: the shape, the range and, where that is not
        [0, 1], the standardisation. The learning rate is constant, for nobody knows how many
        parts are to come, and nothing is held back. After :meth:`fit` or :meth:`load` training
        goes on.

        Arguments:
            X: The part, as for :meth:`fit` but for datasets and loaders, which come whole.
            y: The labels.

        Returns:
            The estimator.

        Raises:
            ValueError: If a parameter or the data can't work.
            DivergedError: If the loss becomes infinite or NaN.
        """

        if self.conditional:
            raise ValueError("partial_fit can't know which labels are to come; conditional=False.")
        if isinstance(X, Shards | Dataset | DataLoader):
            raise TypeError(f"partial_fit wants an array, but X is a {type(X).__name__}; use fit.")
        if not hasattr(self, "autoencoder_"):
            self.check()
            schema = learn(samples := self._read(X), self.image_shape)
            part: Samples = schema.read(samples)
            self._begin(Given(part, None, schema, None))
        else:
            self._check_unchanged()
            part = self.schema_.read(self._read(X, like_fitted=True))
            check_range(part, self.settings_)
        self._ready()
        self.under_way_ = UnderWay()  # of other data
        batches = ArrayBatches(part, self.settings_["batch_size"], seed=self.random_state)
        self._kept = some_of(batches, KEPT, self.random_state)
        self._weigh(self.n_epochs_)
        for epoch in self._train(batches, self.n_epochs_ + 1, "constant"):
            self._count(epoch)
        self.typical_ = self._typical()
        return self

    def _begin(self, given: Given, *, fresh: bool = True) -> Batches:
        r"""Makes an untrained model for data, and the batches to train it on.

        Nothing of an earlier model is touched before all of the new one is there.
        """

        settings = resolve(self._params(), given.train)
        names = given.classes
        if self.conditional:
            settings["prior"], names = self._components(settings, given)
        batches = batches_of(given.train, settings)
        model = model_of(settings, batches.shape)
        if self.encoder is not None:
            check_fits(model, first_of(batches, 2)[:2], settings["latent_dim"])
        if fresh:
            start_at_data_(model, settings, given.train, batches)
        fabric = fabric_for(self.device, settings["precision"])
        check_ranks(model, fabric.world_size)
        kept = some_of(batches, KEPT, self.random_state)

        self._forget()
        self.settings_, self.fabric_, self._kept = settings, fabric, kept
        self.validation_ = given.held
        self.samples_per_epoch_ = batches.n
        self.fingerprint_ = fingerprint_of(given.train, labels=self.conditional)
        self._describe(given.schema or Schema(batches.shape), epochs=0)
        if names is not None:
            self.classes_ = names
        self.autoencoder_ = model.to(fabric.device)
        self.optimizer_ = self._optimizer()
        return batches

    def _facts(self) -> dict[str, object]:
        r"""Returns what has to be the same on ranks that train one model, where it can be told."""

        return {
            **{name: told(value) for name, value in self._params().items()},
            "device": None,  # which may be named otherwise
            "the data": self.fingerprint_,
            "the precision": self.settings_["precision"],
            "the checkpoint": (self.n_epochs_, self.under_way_.batch),
        }

    def _params(self) -> dict[str, Any]:
        r"""Returns the parameters, numbers of NumPy as Python's."""

        params = self.get_params(deep=False)
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}

    def _check_unchanged(self) -> None:
        r"""Refuses parameters that were set since and that a model in the making can't follow."""

        for name in ("latent_dim", "penalty", "linear"):
            now, then = getattr(self, name), self.settings_[name]
            if now != then:
                raise ValueError(
                    f"{name} was {then!r} when the model was made, but is {now!r} now; "
                    "partial_fit goes on with the model as it is, fit makes a new one."
                )

    def _forget(self) -> None:
        r"""Drops what an earlier model has left."""

        for name in [name for name in vars(self) if name.endswith("_") and name[0] != "_"]:
            delattr(self, name)

    def _ready(self) -> None:
        r"""Gives a model that comes from elsewhere what training wants."""

        if not hasattr(self, "fabric_"):
            self.fabric_ = fabric_for(self.device, self.settings_["precision"])
        if not hasattr(self, "optimizer_"):
            self.optimizer_ = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        s = self.settings_
        return make_optimizer(s["optimizer"], self.autoencoder_, s["learning_rate"])

    def _train(
        self,
        batches: Batches,
        max_epochs: int,
        schedule: Schedule,
        progress: Progress | None = None,
        keep: Keep | None = None,
    ) -> Iterator[Epoch]:
        def after_step(standing: Callable[[], UnderWay]) -> None:
            if keep is not None:
                keep(lambda: self.keep_checkpoint(standing()))

        try:
            yield from train_epochs(
                self.autoencoder_,
                batches,
                self.optimizer_,
                max_epochs=max_epochs,
                start=self.n_epochs_,
                under_way=self.under_way_,
                steps=self.n_steps_,
                schedule=schedule,
                seed=self.random_state,
                micro_batch_size=self.settings_["micro_batch_size"],
                fabric=self.fabric_,
                progress=progress,
                after_step=None if keep is None else after_step,
            )
        except DivergedError:
            del self.autoencoder_  # of which nothing is of use, nor should be stored
            raise

    def _count(self, epoch: Epoch) -> None:
        r"""Takes note of an epoch that was trained."""

        self.n_epochs_, self.n_steps_ = epoch.number, epoch.step
        self.under_way_ = UnderWay()
        self.typical_ = self.evaluation_ = None  # were of the weights before

    def _epochs(
        self, batches: Batches, progress: Progress | None, keep: Keep | None
    ) -> Iterator[Epoch]:
        r"""Trains what :meth:`fit_epochs` has prepared."""

        max_epochs, schedule = self.settings_["max_epochs"], self.settings_["schedule"]
        epochs = self._train(batches, max_epochs, schedule, progress, keep)
        # Asked before the first epoch too: a checkpoint may be the last one's.
        while not self.best_.is_over(self.n_epochs_):
            self._weigh(self.n_epochs_)
            epoch = next(epochs, None)
            if epoch is None:
                break
            self._count(epoch)
            if self.patience is not None:
                held, size = cast(Samples, self.validation_), self.settings_["batch_size"]
                value = objective(self.autoencoder_, held, size, self.random_state)
                value = agreed(value, self.fabric_.device)
                self.best_.offer(value, epoch.number, self.autoencoder_)
            yield epoch
        else:
            logger.info("Stopped early; the best epoch was %d.", self.best_.epoch)
        if self.best_.state is not None:
            self.autoencoder_.load_state_dict(self.best_.state)
        self.typical_ = self._typical()

    def _restore(self, checkpoint: Checkpoint, batches: Batches) -> None:
        r"""Puts model, optimiser and the best epoch where a checkpoint has them.

        Arguments:
            checkpoint: The checkpoint.
            batches: The batches that it goes on with.
        """

        if checkpoint.info.get("data") != self.fingerprint_:
            raise DataError(
                "The data is not what the checkpoint was trained on, so training can't go on with "
                "it; give the same data, or begin anew."
            )
        prior = cast(Prior, self.autoencoder_.penalty.prior)
        home = next(name for name, part in self.autoencoder_.named_modules() if part is prior)
        check_same_law(prior, checkpoint.model, f"{home}.")
        try:
            self.autoencoder_.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise ValueError(
                "The checkpoint does not fit: it is of a model with other settings, or of data "
                f"with another shape than {self.sample_shape_}."
            ) from error
        restore_optimizer(self.optimizer_, checkpoint.optimizer)
        self.best_.restore(checkpoint)
        way = under_way_of(checkpoint.info.get("under_way"), len(batches))
        if way.batch and not batches.same_for_ranks and way.ranks != self.fabric_.world_size:
            raise ValueError(
                f"The checkpoint was made within an epoch, in which each of {way.ranks} ranks had "
                f"shards of its own, but there are {self.fabric_.world_size} now: go on with as "
                "many (--devices)."
            )
        self.n_epochs_, self.under_way_ = checkpoint.epoch, way
        self.n_steps_ = checkpoint.epoch * len(batches) + way.batch

    def resolve(self, X: Data, y: Any = None) -> dict[str, Any]:  # noqa: ANN401 - labels
        r"""Returns all parameters as they are for this data, those of the preset filled in."""

        self.check()
        return resolve(self._params(), self._given(X, y).train)

    def check(self) -> None:
        r"""Refuses parameters that can't work with any data.

        Raises:
            ValueError: With the parameter's name, what it is and what it may be.
        """

        params = self._params()
        check(params)
        penalty = penalty_of(params)
        if multiple_of(setting(params, "reg_weight")) is not None:
            check_has_null(penalty)
        if self.linear:
            is_bounded(penalty.prior)

    def save_checkpoint(self, folder: Path) -> Path:
        r"""Writes a checkpoint between two epochs of :meth:`fit_epochs`."""

        return write_checkpoint(folder, self.keep_checkpoint())

    def keep_checkpoint(self, way: UnderWay | None = None) -> Kept:
        r"""Returns what :meth:`save_checkpoint` writes, or a checkpoint within an epoch."""

        way = way or self.under_way_

        return keep_checkpoint(
            self.n_epochs_,
            self.autoencoder_,
            self.optimizer_,
            extra=self.best_.state,
            info={
                "best": self.best_.value,
                "best_epoch": self.best_.epoch,
                "data": self.fingerprint_,
                "under_way": way._asdict() if way.batch else None,
            },
            batch=way.batch,
        )

    def _given(self, X: Data, y: Any) -> Given:  # noqa: ANN401 - labels of any kind
        r"""Reads what fit is given; a dataset or a loader is taken as it is."""

        if y is not None and isinstance(X, Samples | Shards | Dataset | DataLoader):
            raise ValueError(
                f"y has to be left out with a {type(X).__name__}, which holds its own labels."
            )
        params = self._params()
        if isinstance(X, Dataset | DataLoader):
            return Given(loaded(X, params), None, None, None)
        if isinstance(X, Shards):
            schema = learn(X, self.image_shape)
            shards, names = schema.read(X), None
            if self.conditional:
                shards, (names, _) = labelled(shards, None)
            return Given(*hold_back_shards(shards, params), schema, names)

        samples = self._read(X)
        schema = learn(samples, self.image_shape)
        samples, names = schema.read(samples), None
        if self.conditional:
            samples, (names, _) = labelled(samples, y)
        return Given(*hold_back(samples, params), schema, names)

    def _components(self, settings: dict[str, Any], given: Given) -> tuple[Mixture, list[Label]]:
        r"""Creates the mixture that labels choose from, and the classes of its components."""

        train = given.train
        if isinstance(train, LoaderBatches):
            prior = components_for_batches(settings, train)
            return prior, list(range(prior.components))
        names = cast(list[Label], given.classes)
        return components_for(settings, Classes(names, cast(Tensor, train.labels))), names

    def _samples(self, X: Any) -> Rows:  # noqa: ANN401 - any array
        r"""Brings data under the contract, in the shape that the networks see."""

        if isinstance(X, Shards):
            return self.schema_.read(X)
        return self.schema_.read(self._read(X, like_fitted=True))

    def _read(self, X: Any, *, like_fitted: bool = False) -> Samples:  # noqa: ANN401 - any array
        r"""Brings data under the contract, and rows under scikit-learn's.

        Arguments:
            X: The data.
            like_fitted: Whether rows have to have the columns that the model was fitted to.
        """

        match X:
            case Samples():
                return X
            case DataLoader():
                raise TypeError(
                    "X has to be an array or a dataset, but is a DataLoader, whose order is its "
                    "own; give its dataset."
                )
            case Dataset():
                return in_order(X, CHUNK)
            case Tensor():
                return as_samples(X)
        if getattr(X, "ndim", None) is None and frame_columns(X) is None:
            X = np.asarray(X)
        if getattr(X, "ndim", 2) > 2:  # what is no table has no names either
            return as_samples(X, fitting=not like_fitted)
        rows, names = self._rows(X, like_fitted=like_fitted)
        return dataclasses.replace(as_samples(rows, fitting=not like_fitted), columns=names)

    def _rows(self, X: Any, *, like_fitted: bool) -> tuple[Any, tuple[str, ...] | None]:  # noqa: ANN401
        r"""Checks rows as scikit-learn does, and returns them with the names of their columns."""

        own = self.__dict__
        before = {name: own[name] for name in COLUMNS if name in own}
        try:
            rows = validate_data(
                self,
                X,
                reset=not like_fitted,
                ensure_all_finite=False,
                ensure_min_samples=1 if like_fitted else 2,
            )
            names = own.get("feature_names_in_")
        except (TypeError, ValueError):
            check_numbers(X)  # which names the column, where it is one
            raise
        finally:  # whatever was fitted stays as it is
            for name in COLUMNS:
                own.pop(name, None)
            own.update(before)
        return rows, None if names is None else tuple(names)

    @torch.no_grad()
    def _typical(self) -> Typical:
        r"""Measures what is typical of the data that was kept."""

        with evaluating(self.autoencoder_):
            return typical(self.autoencoder_, self._kept.chunks(CHUNK), self._probes())

    def _probes(self) -> NearestNeighbors:
        r"""Returns the search among samples of the prior that codes are held against."""

        probes = self.prior_.sample(PROBES, stream(self.random_state, "probes"), quasi=True)
        return nearest_to(probes)

    def _weigh(self, epoch: int) -> None:
        r"""Sets lambda for the epoch with an index."""

        if self.autoencoder_.steering is not None:
            return
        growth = float(self.settings_["reg_growth"]) ** max(0, epoch - GROWTH_FROM + 1)
        self.autoencoder_.reg_weight = self.settings_["reg_weight"] * growth

    # --- using

    def transform(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Encodes data, in parts whatever their number.

        Arguments:
            X: The data, with shape :math:`(n, *)` of the training data's samples, or with flat
                rows where ``image_shape`` says how to read them.

        Returns:
            The codes, with shape :math:`(n, d)`, in float32; a data frame after
            :meth:`set_output`.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the samples' shape is another.
        """

        return self._encode(X)

    def _encode(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Encodes to an array, whatever :meth:`set_output` says."""

        return self._apply(self.fitted_.autoencoder_.encode, self._samples(X))

    def inverse_transform(self, Z: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Decodes codes.

        Arguments:
            Z: The codes, with shape :math:`(n, d)`.

        Returns:
            The data, with shape :math:`(n, *)`, in float32, in the data's own units; in [0, 1]
            for a sigmoid output. Rows are flat where those of the training data were.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the codes have another width.
        """

        decode = self.fitted_.autoencoder_.decode
        if not isinstance(Z, Tensor):
            Z = check_array(Z, ensure_all_finite=False, estimator=self, input_name="Z")
        codes = as_samples(Z, name="Z", fitting=False)
        if codes.shape != (self._n_features_out,):
            raise DataError(
                f"Z has to have {self._n_features_out} columns, as latent_dim is, but its rows "
                f"have shape {codes.shape}."
            )
        x = self._apply(decode, Samples(codes.x.float()))  # bytes are no shares here
        return self.schema_.give(x)

    def reconstruct(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Encodes and decodes data, with shape :math:`(n, *)`."""

        return self.inverse_transform(self._encode(X))

    def sample(
        self, n: int = 1, *, label: Label | None = None, seed: int | None = None
    ) -> np.ndarray[Any, Any]:
        r"""Generates data: decodes codes drawn from the prior, or from one of its components.

        Arguments:
            n: The number of samples.
            label: One of ``classes_``, whose component is drawn from; the whole prior if
                :py:`None`.
            seed: The seed of the draw; ``random_state`` if :py:`None`. The same seed gives the
                same samples.

        Returns:
            The data, with shape :math:`(n, *)`, in float32.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If n is less than 1, or the model knows no such label.
        """

        return self.inverse_transform(self.fitted_.sample_codes(n, label=label, seed=seed))

    def sample_codes(
        self, n: int, *, label: Label | None = None, seed: int | None = None
    ) -> np.ndarray[Any, Any]:
        r"""Draws codes from the prior, with shape :math:`(n, d)`; see :meth:`sample`."""

        check_count("n", n)
        if seed is not None:
            check_seed("seed", seed)
        generator = stream(self.random_state if seed is None else seed, "sample")
        codes = self._draw(n, label, generator).numpy(force=True)
        return cast("np.ndarray[Any, Any]", codes)

    def _draw(self, n: int, label: Label | None, generator: torch.Generator) -> Tensor:
        if label is None:
            return self.prior_.sample(n, generator)
        c = component_named(getattr(self, "classes_", []), label)
        rows = torch.full((n,), c, device=device_of(self.autoencoder_))
        return cast(Mixture, self.prior_).sample_components(rows, generator)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ANN401 - any array
        r"""Returns minus the mean squared error of the reconstructions: higher is better.

        Arguments:
            X: The data, with shape :math:`(n, *)`.
            y: Not used.

        Returns:
            The score, at most 0. Where the model standardises, the error is that of standardised
            values: minus the share of the variance that is lost.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the samples' shape is another.
        """

        model = self.fitted_.autoencoder_
        errors = self._apply(lambda x: row_errors(model, x, model.encode(x)), self._samples(X))
        return -float(errors.mean(dtype=np.float64))

    def score_samples(self, X: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - any array
        r"""Tells how normal samples are: higher is more normal (:mod:`swae.anomaly`).

        Arguments:
            X: The data, with shape :math:`(n, *)`.

        Returns:
            Minus the sum of reconstruction error and distance of the code to the prior, each in
            deviations above its mean on the training data, with shape :math:`(n)`.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the samples' shape is another, or the model was made by weights alone.
        """

        model, samples = self.fitted_.autoencoder_, self._samples(X)
        of = self._typically()
        if of is None:
            raise ValueError("score_samples wants a model that was trained here; call fit.")
        probes = self._probes()
        return self._apply(lambda x: normality(model, x, probes, of), samples)

    def _typically(self) -> Typical | None:
        r"""Returns what is typical, measured anew where weights have changed since."""

        if self.typical_ is None and hasattr(self, "_kept"):
            self.typical_ = self._typical()
        return self.typical_

    def evaluate(self, X: Any) -> Evaluation:  # noqa: ANN401 - any array
        r"""Measures reconstruction and match on data, in eval mode and float32.

        Arguments:
            X: The data, with shape :math:`(n, *)`.

        Returns:
            The figures, see :class:`swae.metrics.Evaluation`.
        """

        return evaluate(self.fitted_.autoencoder_, self._samples(X), self.prior_)

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

    @property
    def _n_features_out(self) -> int:
        dim: int = self.settings_["latent_dim"]
        return dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @torch.no_grad()
    def _apply(self, function: Callable[[Tensor], Tensor], samples: Rows) -> np.ndarray[Any, Any]:
        r"""Applies a function of the model in eval mode, chunk by chunk."""

        device = device_of(self.autoencoder_)
        with evaluating(self.autoencoder_):
            parts = (function(to_float(part).to(device)) for part in samples.chunks(CHUNK))
            result: np.ndarray[Any, Any] = filled(parts, len(samples)).numpy()
        return result

    # --- in another process

    def __getstate__(self) -> dict[str, Any]:
        r"""Returns what is pickled: parameters, numbers, and weights as NumPy arrays.

        Neither data nor what belongs to a device is among it.
        """

        state = dict(super().__getstate__())
        if "autoencoder_" not in state:
            return state
        state["typical_"] = self._typically()
        state["autoencoder_"] = as_arrays(self.autoencoder_.state_dict())
        if "optimizer_" in state:
            state["optimizer_"] = as_arrays(optimizer_tensors(self.optimizer_))
        if kind_of_file(self.settings_["prior"]):  # which may be gone when this is read
            law = copy.deepcopy(cast(Prior, self.autoencoder_.penalty.prior)).cpu()
            state["settings_"] = {**self.settings_, "prior": law}
        for name in ("fabric_", "best_", "validation_", "_kept"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights, moments = state.pop("autoencoder_", None), state.pop("optimizer_", None)
        super().__setstate__(state)
        if weights is None:
            return
        self.validation_ = None
        model = model_of(self.settings_, self.sample_shape_)
        model.load_state_dict(as_tensors(weights))
        self._place(model)
        if moments is not None:
            self.optimizer_ = self._optimizer()
            restore_optimizer(self.optimizer_, as_tensors(moments))

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
        model.settings_ = model._unresolved()
        model._describe(Schema(tuple(shape)), epochs=0)
        built = model_of(model.settings_, model.sample_shape_)
        try:
            built.encoder.load_state_dict(encoder)
            built.decoder.load_state_dict(decoder)
        except RuntimeError as error:
            raise ValueError(
                f"The weights have to be of the networks that the parameters describe: {error}"
            ) from error
        model._place(built)
        return model

    def _unresolved(self) -> dict[str, Any]:
        r"""Returns the settings where there is no data for them to follow from."""

        params = self._params()
        presets = {name: setting(params, name) for name in PAPER}
        return params | presets | output_for(params, unit=True)

    def _place(self, model: Autoencoder) -> None:
        r"""Takes over a model that was made elsewhere, on the device of the parameters."""

        self.autoencoder_ = model.to(device_for(self.device))

    def _describe(self, schema: Schema, epochs: int) -> None:
        r"""Sets what is known of a model besides its weights."""

        self.schema_ = schema
        self.sample_shape_ = schema.shape
        self.n_features_in_ = schema.n_features
        if schema.names is not None:
            self.feature_names_in_ = np.array(schema.names, dtype=object)
        self.n_epochs_, self.n_steps_, self.under_way_ = epochs, 0, UnderWay()
        self.typical_ = self.evaluation_ = None

    def save(self, folder: str | Path, *, evaluation: Evaluation | None = None) -> None:
        r"""Writes the model's folder: weights, settings, sums, a preview and a card.

        Networks, functions and distributions of your own are not written, only their weights;
        give them again to :meth:`load`.

        Arguments:
            folder: The folder; a model in it is replaced. A card that was edited, or another
                README.md, is kept.
            evaluation: What :meth:`evaluate` measured on held-out data, for the card; what the
                model was stored with before, if :py:`None` and it was not trained since.

        Raises:
            NotFittedError: If there is no model yet.
            OSError: If the folder can't be written, or there is no room.
        """

        self._save(Path(folder), evaluation)

    def _save(self, folder: Path, evaluation: Evaluation | None, name: str | None = None) -> None:
        from .canvas import rendered  # half a second to import, for this alone
        from .drawing import draw_preview

        weights, settings = self.fitted_.autoencoder_.state_dict(), self.settings_
        if evaluation is not None:
            self.evaluation_ = evaluation.flat()
        write_model(
            folder,
            weights,
            settings,
            preview=rendered(draw_preview(self)),
            card=lambda config: model_card(config, **({} if name is None else {"name": name})),
            shape=list(self.sample_shape_),
            flat=self.schema_.flat,
            epochs=self.n_epochs_,
            steps=self.n_steps_,
            given=as_given(self.prior, settings),
            columns=self.schema_.names and list(self.schema_.names),
            typical=self._typically(),
            classes=getattr(self, "classes_", None),
            evaluation=self.evaluation_,
        )

    @classmethod
    def load(cls, folder: str | Path, **params: Any) -> "SWAE":  # noqa: ANN401 - parameters
        r"""Reads a model.

        Arguments:
            folder: The folder that :meth:`save` wrote, or that of a run.
            params: Parameters to set anew: ``device``, and those that a file can't hold (your own
                ``encoder`` and ``decoder``, ``prior``, ``reconstruction``, ``p``).

        Returns:
            The fitted estimator.

        Raises:
            CorruptError: If a file is missing, is not what was written, or does not fit.
            ValueError: If something that a file can't hold is missing.
        """

        stored = open_model(home_of(Path(folder)), cls().get_params())
        config = stored.config
        settings = cls(**given_again(config["params"], params, stored.folder)).get_params(
            deep=False
        )
        shape = tuple(config["shape"])
        check_device(settings["device"], stored.folder, passed="device" in params)
        # Nor is what does not fit with parameters that were passed.
        if passed := bool(params.keys() - {"device"}):
            check(settings)
        with blaming(stored.folder, passed=passed):
            check(settings)
            check_shapes(settings, shape, stored.shapes)
            state = read_state(stored)
            settings["prior"] = stored_prior(settings["prior"], state)
            built = stored_model(settings, shape, state)
            check_components(config["classes"] or [], built.penalty.prior)
            for name in config["given"].values():
                check_name_of(built.penalty.prior, name)
        model = cls(**(settings | config["given"] | params))
        model.settings_ = settings
        model._take_over(config)
        model._place(built)
        return model

    def _take_over(self, config: Mapping[str, Any]) -> None:
        r"""Sets what a stored configuration knows of a model besides its settings."""

        names = config["columns"] and tuple(config["columns"])
        named = self.settings_["image_shape"] is not None
        schema = Schema(tuple(config["shape"]), config["flat"], named, names)
        self._describe(schema, config["epochs"])
        self.n_steps_, self.evaluation_ = config["steps"], config["evaluation"]
        if config["classes"] is not None:
            self.classes_ = config["classes"]
        if config["typical"] is not None:
            self.typical_ = Typical(*config["typical"])

    # --- on the Hugging Face hub

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        **params: Any,  # noqa: ANN401 - parameters
    ) -> "SWAE":
        r"""Reads a model from a folder, or from the Hugging Face hub (extra ``hub``).

        Arguments:
            name: A folder, as for :meth:`load`, or where there is none a repository,
                ``owner/name``.
            revision: A branch, tag or commit of the repository; its main branch if :py:`None`.
            token: The token of an account; the one that is logged in if :py:`None`.
            params: As for :meth:`load`.

        Returns:
            The fitted estimator.

        Raises:
            CorruptError: As for :meth:`load`.
            ValueError: If there is neither a folder nor a repository of that name, or something
                that a file can't hold is missing.
            OSError: If the hub can't be reached.
        """

        if Path(name).is_dir():
            return cls.load(name, **params)
        return cls.load(download(str(name), revision=revision, token=token), **params)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = False,
        token: str | None = None,
        evaluation: Evaluation | None = None,
        message: str = "Upload a model of swae",
    ) -> str:
        r"""Writes the model to a repository of the Hugging Face hub (extra ``hub``).

        A card that the repository has is kept, for somebody may have edited it.

        Arguments:
            name: The repository, ``owner/name``; it is made where it is missing.
            private: Whether a repository that is made is private.
            token: The token of an account; the one that is logged in if :py:`None`.
            evaluation: As for :meth:`save`.
            message: The message of the commit.

        Returns:
            The address of the commit.

        Raises:
            NotFittedError: If there is no model yet.
            ValueError: If the name is none, or the library is not installed.
            OSError: If the hub can't be reached, or refuses.
        """

        with TemporaryDirectory() as folder:
            self._save(Path(folder), evaluation, name)
            return upload(Path(folder), name, private=private, token=token, message=message)


def check_device(device: str, folder: Path, *, passed: bool) -> None:
    r"""Refuses a device that is not there, which is no fault of the files."""

    try:
        device_for(device)
    except ValueError as error:
        if passed:
            raise
        raise ValueError(
            f"The model in {folder} was stored with a device that can't be had here: "
            f"{shortened(error)} Pass device='auto' to load."
        ) from error


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.numpy(force=True) for name, tensor in tensors.items()}


def as_tensors(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Tensor]:
    # Copied, for joblib may have mapped them from a file that can't be written.
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
