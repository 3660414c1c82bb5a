//! The names of S3's errors that mean something here, read once.

/// An error of S3, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::s3) enum ErrorCode {
    AccessDenied,
    /// The account may not use the store at all.
    Account,
    /// The owner has closed the bucket to others.
    Closed,
    /// The clocks differ by too much for a signature.
    ClockSkew,
    /// The session of the credentials is over.
    Expired,
    /// No object can have such a name.
    ImpossibleName,
    InvalidArgument,
    InvalidObjectState,
    /// The session token is wrong.
    InvalidToken,
    /// The encryption's key cannot be used.
    Kms,
    /// The header with the signature is written wrongly, or names another region.
    MalformedAuthorization,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    /// The bucket is in another region, or at another endpoint.
    OtherRegion,
    SignatureMismatch,
    /// Too many requests.
    SlowDown,
    /// The store does not know the access key.
    UnknownKey,
    /// Any other name, or none.
    #[default]
    Other,
}

impl ErrorCode {
    pub(in crate::s3) fn of(name: &str) -> Self {
        match name {
            "AccessDenied" => Self::AccessDenied,
            "NotSignedUp" | "AccountProblem" | "UserSuspended" | "InvalidSecurity" => Self::Account,
            "InvalidPayer" | "AllAccessDisabled" => Self::Closed,
            "RequestTimeTooSkewed" => Self::ClockSkew,
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => Self::Expired,
            // `InvalidArgument` is not among them: without a version it is about how the request was made (the kind of signature, a header of
            // a proxy), and so about every job.
            "InvalidBucketName"
            | "InvalidObjectName"
            | "InvalidURI"
            | "KeyTooLong"
            | "KeyTooLongError"
            | "XMinioInvalidObjectName"
            | "XMinioInvalidResourceName" => Self::ImpossibleName,
            "InvalidArgument" => Self::InvalidArgument,
            "InvalidObjectState" => Self::InvalidObjectState,
            "InvalidToken" | "InvalidTokenId" => Self::InvalidToken,
            "AuthorizationHeaderMalformed" => Self::MalformedAuthorization,
            "NoSuchBucket" => Self::NoSuchBucket,
            "NoSuchKey" => Self::NoSuchKey,
            "NoSuchVersion" => Self::NoSuchVersion,
            "IllegalLocationConstraintException" | "IncorrectEndpoint" => Self::OtherRegion,
            "SignatureDoesNotMatch" => Self::SignatureMismatch,
            "SlowDown" | "SlowDownRead" | "RequestLimitExceeded" | "Throttling" => Self::SlowDown,
            // versitygw 1.8.0 says so with a 404.
            "InvalidAccessKeyId" | "XAdminUserNotFound" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
                Self::UnknownKey
            }
            // A family: `KMS.DisabledException` and others.
            _ if name.starts_with("KMS") || name.starts_with("XMinioKMS") => Self::Kms,
            _ => Self::Other,
        }
    }
}
