"""The screens, one a file: what stands on each, and what keys do there."""
