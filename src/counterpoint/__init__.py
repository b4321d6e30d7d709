"""Counterpoint: dynamic workflows that can be trusted, resumed and run with any model."""

from counterpoint.version import VERSION as __version__

__all__ = ["__version__"]
