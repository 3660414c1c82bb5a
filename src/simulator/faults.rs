//! Which requests fail, and how: shares and counts.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use super::fault::{Fault, FaultKindError};

/// The faults to inject, as text: `429=5%,reset-before=1%` for shares of all requests, `503=x3` for the next three.
///
/// Counted faults come first, in the order written, each until it is used up; only then do the shares apply. The shares may
/// not add up to more than 100 %. The empty text is no faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    next: VecDeque<(Fault, u32)>,
    shares: Vec<(Fault, f64)>,
}

/// Why a text is not a list of faults.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultsError {
    /// An item without `=`.
    #[error("read the fault `{0}`: it has no `=`; write `kind=5%` or `kind=x3`")]
    Shape(String),
    /// The part before `=` is no kind of fault.
    #[error(transparent)]
    Kind(#[from] FaultKindError),
    /// The part after `=` is neither a percentage nor a count.
    #[error("read the amount of `{0}`: write `5%` (0 to 100) or `x3`")]
    Amount(String),
    /// More faults than requests.
    #[error("add up the shares of the faults: they exceed 100%")]
    Sum,
}

// === impl Faults ===

impl Faults {
    /// Decides when the headers are in. `roll` is uniform in 0..100 and stands for this request from here on.
    pub(super) fn at_headers(&mut self, roll: f64) -> Arrival {
        match self.next.front() {
            Some(&(fault, _)) if fault.is_at_head() => {
                self.use_up_front();
                Arrival::Now(fault)
            }
            // A counted fault waits for the body; the shares have their turn when the counted ones are used up.
            Some(_) => Arrival::Proceed(None),
            None => match self.share(roll) {
                Some(fault) if fault.is_at_head() => Arrival::Now(fault),
                share => Arrival::Proceed(share),
            },
        }
    }

    /// Decides when the body is in and good; `share` is what [`at_headers`](Self::at_headers) rolled.
    pub(super) fn at_body(&mut self, share: Option<Fault>) -> Option<Fault> {
        // What happens at the head is too late for this request; it is for the next one to arrive.
        match self.next.front().filter(|(fault, _)| !fault.is_at_head()) {
            None => share,
            Some(&(fault, _)) => {
                self.use_up_front();
                Some(fault)
            }
        }
    }

    fn share(&self, roll: f64) -> Option<Fault> {
        let mut edge = 0.0;
        for &(fault, percent) in &self.shares {
            edge += percent;
            if roll < edge {
                return Some(fault);
            }
        }
        None
    }

    fn use_up_front(&mut self) {
        if let Some((_, left)) = self.next.front_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.next.pop_front();
            }
        }
    }
}

/// What becomes of a request once its headers have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// This happens now; see [`Fault::is_at_head`].
    Now(Fault),
    /// Read the body, then do this unless a counted fault goes first.
    Proceed(Option<Fault>),
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (kind, amount) = item.split_once('=').ok_or_else(|| FaultsError::Shape(item.to_owned()))?;
            let fault: Fault = kind.trim().parse()?;
            let wrong = || FaultsError::Amount(item.to_owned());
            let amount = amount.trim();
            if let Some(count) = amount.strip_prefix('x') {
                let count: u32 = count.parse().map_err(|_| wrong())?;
                if count > 0 {
                    faults.next.push_back((fault, count));
                }
            } else {
                let percent: f64 =
                    amount.strip_suffix('%').and_then(|number| number.trim().parse().ok()).ok_or_else(wrong)?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err(wrong());
                }
                faults.shares.push((fault, percent));
            }
        }
        // A hair of room: 0.1 added ten times is a little more than 1 in binary.
        if faults.shares.iter().map(|(_, percent)| percent).sum::<f64>() > 100.0 + 1e-9 {
            return Err(FaultsError::Sum);
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.next.iter().map(|(fault, left)| format!("{fault}=x{left}"));
        let shares = self.shares.iter().map(|(fault, percent)| format!("{fault}={percent}%"));
        f.write_str(&counted.chain(shares).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_list_reads_and_prints_back() {
        for text in [
            "",
            "429=5%",
            "503=x3,429=5%,reset-before=0.5%",
            "hang=100%",
            "slow=x1,garbage-json=x2,early-503=x2,empty=1%,lingering-413=2%",
        ] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        assert_eq!(" 503 = x2 , hang = 1% ".parse::<Faults>().unwrap().to_string(), "503=x2,hang=1%");
    }

    #[test]
    fn a_wrong_list_says_what_is_wrong() {
        use FaultsError::{Amount, Kind, Shape, Sum};
        for (text, error) in [
            ("503", Shape("503".into())),
            ("299=1%", Kind(FaultKindError("299".into()))),
            ("600=1%", Kind(FaultKindError("600".into()))),
            ("explode=1%", Kind(FaultKindError("explode".into()))),
            ("503=5", Amount("503=5".into())),
            ("503=-1%", Amount("503=-1%".into())),
            ("503=101%", Amount("503=101%".into())),
            ("503=NaN%", Amount("503=NaN%".into())),
            ("503=x", Amount("503=x".into())),
            ("503=60%,hang=41%", Sum),
        ] {
            assert_eq!(text.parse::<Faults>(), Err(error), "{text}");
        }
    }

    #[test]
    fn shares_divide_the_roll_in_the_order_written() {
        let mut faults: Faults = "429=5%,reset-before=1%,hang=94%".parse().unwrap();
        let limited = Some(Fault::Status(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(faults.at_headers(0.0), Arrival::Proceed(limited));
        assert_eq!(faults.at_headers(4.999), Arrival::Proceed(limited));
        assert_eq!(faults.at_headers(5.0), Arrival::Now(Fault::ResetBefore));
        assert_eq!(faults.at_headers(6.0), Arrival::Proceed(Some(Fault::Hang)));
        assert_eq!(faults.at_body(limited), limited);
    }

    #[test]
    fn counted_faults_go_first_and_run_out() {
        let mut faults: Faults = "reset-before=x1,503=x2,reset-before=x1,hang=100%".parse().unwrap();
        let unavailable = Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(faults.at_headers(50.0), Arrival::Now(Fault::ResetBefore));
        assert_eq!(faults.at_headers(50.0), Arrival::Proceed(None));
        assert_eq!(faults.at_body(None), unavailable);
        assert_eq!(faults.at_body(None), unavailable);
        assert_eq!(faults.at_body(None), None, "a reset before the body is not spent on a request whose body is in");
        assert_eq!(faults.at_headers(50.0), Arrival::Now(Fault::ResetBefore));
        assert_eq!(faults.at_headers(50.0), Arrival::Proceed(Some(Fault::Hang)));
        assert_eq!(faults.to_string(), "hang=100%");
    }
}
