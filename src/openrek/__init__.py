"""openrek: an open, self-hosted service that answers the Amazon Rekognition API with real computer vision."""

__version__ = "0.1.0"
