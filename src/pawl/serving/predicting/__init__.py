"""A bundle's predictions over HTTP: requests that come together are computed together."""

from pawl.serving.predicting.app import application
from pawl.serving.predicting.server import serve

__all__ = ["application", "serve"]
