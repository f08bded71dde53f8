"""What the objects of a store in a bucket are called; ``peerkd.artifacts.s3`` says why."""

from dataclasses import dataclass

from peerkd.artifacts.store import MANIFEST_NAME, Manifest, check_name


@dataclass(frozen=True, slots=True)
class Names:
    """Names of objects below a prefix, which may be empty."""

    prefix: str

    def address(self, bucket: str) -> str:
        """Return the address of the store in a bucket, as the user writes it."""
        return f"s3://{bucket}/{self.prefix}".rstrip("/")

    def manifest(self, key: str) -> str:
        """Return the name of an artifact's manifest."""
        return self.published(key) + MANIFEST_NAME

    def file(self, manifest: Manifest, name: str) -> str:
        """Return the name of a file of a published artifact."""
        return self.content(manifest) + check_name(name)

    def content(self, manifest: Manifest) -> str:
        """Return how the names of all files of a published artifact begin."""
        return f"{self.published(manifest.key)}{manifest.fingerprint[:16]}/"

    def published(self, key: str) -> str:
        """Return how all names of a published artifact begin."""
        return f"{self.below(check_name(key))}/"

    def partial(self, key: str) -> str:
        """Return how all names of an artifact in the making begin."""
        return f"{self.below(check_name(key))}.partial/"

    def below(self, name: str) -> str:
        """Return a name below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name
