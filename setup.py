"""Kept for tools that run it; everything that it says stands in `pyproject.toml`."""

from setuptools import setup

setup()
