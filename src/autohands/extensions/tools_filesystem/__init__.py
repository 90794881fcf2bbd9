"""Files of the workspace: read, write, edit, list, create, delete, move."""

from autohands.sdk import Extension

from .create_directory import create_directory
from .delete_file import delete_file
from .edit_file import edit_file
from .list_directory import list_directory
from .move_file import move_file
from .read_file import read_file
from .write_file import write_file

extension = Extension(
    name="tools-filesystem",
    version="1.0.0",
    summary="Read, write, edit, list, create, delete and move files of the workspace.",
    permissions=("files",),
    tools=(read_file, write_file, edit_file, list_directory, create_directory, delete_file, move_file),
)
