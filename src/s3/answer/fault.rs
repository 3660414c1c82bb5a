//! What a refusal says against the credentials, and not against the object.

use super::Refused;
use super::code::ErrorCode;
use super::document::Nuance;
use super::skew::Skew;

/// What is wrong with the credentials, or with what was made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::s3) enum Fault {
    /// The store does not know the key.
    UnknownKey,
    /// The signature is another.
    Signature,
    /// The session is over.
    Expired,
    /// The session token is wrong.
    Token,
    /// The clocks differ by too much for a signature.
    Clock,
    /// The account may not use the store at all.
    Account,
}

impl Refused {
    /// What it says against the credentials.
    pub(in crate::s3) fn fault(&self) -> Option<Fault> {
        Some(match self.error.code {
            ErrorCode::UnknownKey => Fault::UnknownKey,
            ErrorCode::SignatureMismatch => Fault::Signature,
            // Without the region that it should be: the key itself is written wrongly.
            ErrorCode::MalformedAuthorization if self.region.is_none() => Fault::Signature,
            ErrorCode::Expired => Fault::Expired,
            ErrorCode::InvalidToken => Fault::Token,
            ErrorCode::ClockSkew => Fault::Clock,
            ErrorCode::Account => Fault::Account,
            ErrorCode::AccessDenied if self.error.nuance == Some(Nuance::Credentials) => Fault::UnknownKey,
            _ => return None,
        })
    }

    /// What is wrong with the credentials, in words.
    pub(in crate::s3) fn complaint(&self, fault: Fault) -> String {
        let said = self.said();
        match (fault, self.skew) {
            (Fault::UnknownKey, _) => format!("the store does not know the access key ({said})"),
            (Fault::Signature, None) => {
                format!(
                    "the store computes another signature ({said}): the secret key is wrong, or a proxy changes the request"
                )
            }
            (Fault::Expired, None) => format!("the session of the credentials has expired ({said})"),
            (Fault::Token, _) => format!("the store does not accept the session token ({said})"),
            (Fault::Account, _) => format!("the account may not use the store ({said})"),
            (Fault::Clock, None) => format!("this machine's clock is off by more than the store allows ({said})"),
            (Fault::Clock | Fault::Expired | Fault::Signature, Some(Skew { by, ahead })) => {
                let by = humantime::format_duration(by);
                format!(
                    "this machine's clock is {by} {} the store's ({said})",
                    if ahead { "ahead of" } else { "behind" }
                )
            }
        }
    }

    /// True when the clock is what has to be mended.
    pub(in crate::s3) fn blames_the_clock(&self, fault: Fault) -> bool {
        fault == Fault::Clock || (self.skew.is_some() && matches!(fault, Fault::Expired | Fault::Signature))
    }
}
