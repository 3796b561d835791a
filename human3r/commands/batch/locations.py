"""Files and folders by path or fsspec URL, such as ``clips/a.mp4`` or ``s3://bucket/clips``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from human3r.atomic import write_text
from human3r.errors import InputError
from human3r.temporary import temporary_folder


@dataclass(frozen=True)
class Location:
    """A file or folder, local or remote; it need not exist."""

    files: AbstractFileSystem
    path: str
    """Absolute path, without the protocol."""

    @classmethod
    def of(cls, text: str) -> Location:
        """Resolve a path or URL.

        Raises:
            InputError: The protocol is unknown, or its package is not installed.
        """
        try:
            return cls(*url_to_fs(text))
        except (ValueError, ImportError) as error:
            raise InputError(f"{text!r} cannot be opened ({error}).", "Check the address.") from error

    @property
    def is_local(self) -> bool:
        """Whether it is in the local file system."""
        return isinstance(self.files, LocalFileSystem)

    @property
    def address(self) -> str:
        """Its path if local, else its URL."""
        return self.path if self.is_local else str(self.files.unstrip_protocol(self.path))

    def child(self, name: str) -> Location:
        """Return a file or folder inside."""
        return Location(self.files, f"{self.path.rstrip('/')}/{name}")

    def read(self) -> bytes:
        """Return the contents; raises ``OSError`` if it cannot be read."""
        content = self.files.cat_file(self.path)
        return content.encode() if isinstance(content, str) else content

    def write(self, text: str) -> None:
        """Write UTF-8 text, creating the folder; atomic if local."""
        if self.is_local:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            write_text(Path(self.path), text)
        else:
            self.files.pipe_file(self.path, text.encode())

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Yield a local path of the contents; that of a remote file is a temporary copy."""
        if self.is_local:
            yield Path(self.path)
            return
        with temporary_folder() as folder:
            copy = folder / Path(self.path).name
            self.files.get(self.path, str(copy), recursive=self.files.isdir(self.path))
            yield copy

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a local folder to write to; files of a remote folder are then copied by ``upload``."""
        if self.is_local:
            yield Path(self.path)
            return
        with temporary_folder() as folder:
            yield folder

    def upload(self, folder: Path, files: list[Path]) -> None:
        """Copy files of a ``staged`` folder, in order; nothing if local."""
        if not self.is_local:
            for path in files:
                target = self.child(path.relative_to(folder).as_posix())
                self.files.makedirs(target.path.rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(path), target.path)
