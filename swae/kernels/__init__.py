r"""The fast sorts. :mod:`swae.univariate` says what they are for and chooses them."""
