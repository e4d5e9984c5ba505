r"""Other ways to match codes and prior, one paper a file."""
