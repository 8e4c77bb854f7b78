"""
Folders, both ways: files in a folder are received (`FolderReceiver`), documents are put into one (`FolderSender`).

    disk       files and renames that survive a power cut
    sender     out
    watching   which files of a folder are complete
    together   which files wait for each other
    receiver   in

A file is never worked while somebody may be writing it, never worked by two, and never seen half-written by whoever
reads our folder: all of that is done by rename, which is one step for everybody. This package must never delete a file
that it did not make, and never let a name from outside be a path or a log entry.
"""

from mhbridge.adapters.folder.disk import DiskFiles
from mhbridge.adapters.folder.receiver import FolderReceiver
from mhbridge.adapters.folder.sender import FolderSender

__all__ = ["DiskFiles", "FolderReceiver", "FolderSender"]
