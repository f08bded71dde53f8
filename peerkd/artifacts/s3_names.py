"""Names of the objects of a store in a bucket; ``peerkd.artifacts.s3`` describes the layout."""

from dataclasses import dataclass

from peerkd.artifacts.store import MANIFEST_NAME, Manifest, check_name


@dataclass(frozen=True, slots=True)
class Names:
    """The names of objects below a prefix, which may be empty."""

    prefix: str

    def address(self, bucket: str) -> str:
        """Return the address of the store, as a user writes it."""
        return f"s3://{bucket}/{self.prefix}".rstrip("/")

    def manifest(self, key: str) -> str:
        """Return the name of an artifact's manifest."""
        return self.published(key) + MANIFEST_NAME

    def file(self, manifest: Manifest, name: str) -> str:
        """Return the name of a file of a published artifact."""
        return self.content(manifest) + check_name(name)

    def content(self, manifest: Manifest) -> str:
        """Return the prefix of all files of a published artifact."""
        return f"{self.published(manifest.key)}{manifest.fingerprint[:16]}/"

    def published(self, key: str) -> str:
        """Return the prefix of all objects of a published artifact."""
        return f"{self.below(check_name(key))}/"

    def partial(self, key: str) -> str:
        """Return the prefix of all objects of an artifact's workspace."""
        return f"{self.below(check_name(key))}.partial/"

    def below(self, name: str) -> str:
        """Return a name below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name
