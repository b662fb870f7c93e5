"""What all tests share: a machine under load is no reason to fail."""

from hypothesis import settings

settings.register_profile("engine", deadline=None)
settings.load_profile("engine")
