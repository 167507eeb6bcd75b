"""What can be configured, how it is loaded, what is wrong with a given value and how to mend it."""

from gateway.settings.load import DEFAULT_FILE, load
from gateway.settings.problem import Problem, SettingsError
from gateway.settings.sections import Settings

__all__ = ["DEFAULT_FILE", "Problem", "Settings", "SettingsError", "load"]
