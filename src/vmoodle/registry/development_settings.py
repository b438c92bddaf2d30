"""Django settings for tools that read the models: mypy and makemigrations."""

from pathlib import Path

from vmoodle.registry.django_setup import configuration
from vmoodle.secret import Secret

globals().update(configuration(Path(":memory:"), Secret("")))
SECRET_KEY = "only for makemigrations and mypy"  # noqa: S105
