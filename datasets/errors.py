"""What can go wrong with a data set.

DatasetError
├── DatasetMissingError   the files are not there
├── DatasetCorruptError   a file is there and is not what it should be
├── SourceError           one source could not deliver; the next is tried
├── NoSourceError         no source could deliver
└── CannotWriteError      the disk is full, or the folder is not writable
"""

from __future__ import annotations


class DatasetError(Exception):
    """Any failure to fetch, verify or load a data set; the message says what to do."""


class DatasetMissingError(DatasetError):
    """The files of a data set are not in the folder."""


class DatasetCorruptError(DatasetError):
    """A file does not hold what it should hold."""


class SourceError(DatasetError):
    """One source could not deliver the data."""


class NoSourceError(DatasetError):
    """Every source failed."""


class CannotWriteError(DatasetError):
    """The data could not be stored."""
