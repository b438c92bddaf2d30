"""The registry as a Django application."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Names the application, so that its tables are called `registry_*`."""

    name = "vmoodle.registry"
    label = "registry"
