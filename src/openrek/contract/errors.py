"""One exception family: every error a client can receive.

The modelled part mirrors the service model (a test compares names and statuses with it); the common part holds the
errors that every AWS JSON service has without modelling them. `framework` errors carry the short body that AWS's front
end sends, the others the body of a service handler.
"""

from typing import ClassVar


class ServiceError(Exception):
    """Base of all errors that become an answer.

    `code` is the wire name, `status` the HTTP status, `framework` picks the body style, and `members` holds further
    modelled members (HumanLoopQuotaExceededException has three). Messages say what was wrong, the value, the limit and,
    where there is one, the setting that lifts it.
    """

    code: ClassVar[str] = "InternalServerError"
    status: ClassVar[int] = 400
    framework: ClassVar[bool] = False
    default_message: ClassVar[str] = "Request has failed"

    def __init__(self, message: str | None = None, **members: str) -> None:
        self.message = message if message is not None else self.default_message
        self.members = members
        super().__init__(self.message)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = cls.__name__


# --- modelled -------------------------------------------------------------------------------------------------------


class AccessDeniedException(ServiceError):
    default_message = "You are not authorized to perform the action."


class ConflictException(ServiceError):
    default_message = "The resource is being changed by another request."


class HumanLoopQuotaExceededException(ServiceError):
    default_message = "The number of open human reviews has reached its limit."


class IdempotentParameterMismatchException(ServiceError):
    default_message = "The ClientRequestToken you have supplied is already in use."


class ImageTooLargeException(ServiceError):
    default_message = "Image size is too large"


class InternalServerError(ServiceError):
    status = 500
    default_message = "The service has failed to process the request; the server's log holds the cause."


class InvalidImageFormatException(ServiceError):
    default_message = "Request has invalid image format"


class InvalidManifestException(ServiceError):
    default_message = "The manifest is not valid."


class InvalidPaginationTokenException(ServiceError):
    default_message = "Invalid Pagination Token"


class InvalidParameterException(ServiceError):
    default_message = "Request has invalid parameters"


class InvalidPolicyRevisionIdException(ServiceError):
    default_message = "The policy revision id is not valid."


class InvalidS3ObjectException(ServiceError):
    default_message = "Unable to get object metadata from S3. Check object key, region and/or access permissions."


class LimitExceededException(ServiceError):
    default_message = "A limit of the service has been exceeded."


class MalformedPolicyDocumentException(ServiceError):
    default_message = "The policy document is malformed."


class ProvisionedThroughputExceededException(ServiceError):
    default_message = "Provisioned Rate exceeded."


class ResourceAlreadyExistsException(ServiceError):
    default_message = "The resource already exists."


class ResourceInUseException(ServiceError):
    default_message = "The resource is in use."


class ResourceNotFoundException(ServiceError):
    default_message = "The resource was not found."


class ResourceNotReadyException(ServiceError):
    default_message = "The resource is not ready."


class ServiceQuotaExceededException(ServiceError):
    default_message = "A quota of the service has been exceeded."


class SessionNotFoundException(ServiceError):
    default_message = "The session was not found."


class ThrottlingException(ServiceError):
    status = 500
    default_message = "Slow down; sudden increase in rate of requests."


class VideoTooLargeException(ServiceError):
    default_message = "Video size is too large"


# --- common to every AWS JSON service, not modelled -----------------------------------------------------------------


class FrameworkError(ServiceError):
    """Errors of the front end: parsing, authentication, routing, validation."""

    framework = True


class ValidationException(FrameworkError):
    default_message = "The request does not satisfy the service model."


class SerializationException(FrameworkError):
    default_message = "The request body is not valid JSON for this operation."


class UnknownOperationException(FrameworkError):
    default_message = "The operation is not known; send X-Amz-Target: RekognitionService.<Operation>."


class MissingAuthenticationTokenException(FrameworkError):
    default_message = "Missing Authentication Token"


class IncompleteSignatureException(FrameworkError):
    default_message = "The Authorization header is not a complete AWS4-HMAC-SHA256 signature."


class UnrecognizedClientException(FrameworkError):
    default_message = "The security token included in the request is invalid."


class InvalidSignatureException(FrameworkError):
    default_message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method."
    )


class ExpiredTokenException(FrameworkError):
    default_message = "The security token included in the request is expired."


class MalformedHttpRequestException(FrameworkError):
    """What came over the connection is not HTTP."""

    default_message = "Invalid HTTP request received."


class RequestHeaderTooLargeException(FrameworkError):
    """A request whose header is longer than any client's; the connection is answered without reading the rest."""

    status = 431
    default_message = "The header of the request is too large."


class NotImplementedException(FrameworkError):
    """A modelled operation, or part of one, that this version does not perform yet: never a made-up answer."""

    status = 501
    default_message = "This operation is not implemented by this version of openrek."


class RequestTimeoutException(FrameworkError):
    """A request that did not arrive in time. SDKs retry this code."""

    status = 408
    default_message = "The request did not arrive in time."
