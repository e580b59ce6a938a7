"""What the evaluator refuses.

EvaluatorError
├── ImagesError        the images cannot be measured: type, shape, how many
│   └── CountError     not the number of images that the metric's name states
├── LabelsError        the classes asked for are missing, or unfit for the images
├── FeaturesError      features or moments that no statistic can be computed from
├── UnknownMetricError no metric has that name
├── ExtractorError     a network cannot be loaded, or lacks what a metric needs
├── RealImagesError    real images, their features or labels are not at hand
└── PackError          a pack is missing, damaged, or cannot be built
"""

from __future__ import annotations


class EvaluatorError(Exception):
    """Any refusal of the evaluator; the message says what was found, what was expected and what to do."""


class ImagesError(EvaluatorError):
    """The images have the wrong type or shape, or are too few."""


class CountError(ImagesError):
    """There are not as many images as the metric's name states."""


class LabelsError(EvaluatorError):
    """A metric needs the classes asked for and has none, or they have the wrong type, shape, range or balance."""


class FeaturesError(EvaluatorError):
    """Features or moments hold NaN or infinity, disagree in dimension, or come from too few images."""


class ExtractorError(EvaluatorError):
    """A network cannot be loaded (a package is missing, a file is damaged or another network's), or lacks what a metric needs."""


class UnknownMetricError(EvaluatorError):
    """No metric has that name."""


class RealImagesError(EvaluatorError):
    """The real images that a metric compares with, their features or their labels are not at hand."""


class PackError(EvaluatorError):
    """A pack is missing, incomplete, damaged, of another version, or cannot be built from the data given."""
