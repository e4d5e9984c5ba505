r"""The fast sort-and-match. :mod:`swae.univariate` says what it computes and chooses it."""
