"""Property tests give the same verdict on any machine: no time limit for one example, and always the same examples."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
