//! How a command ended, as the number that scripts see.

use std::process::ExitCode;

/// How a command ended. The numbers are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It was tried and failed.
    Failed = 1,
    /// Wrong usage: nothing was tried.
    Usage = 64,
    /// A service is unreachable: the same command may succeed later.
    Unreachable = 69,
    /// The settings are bad: nothing was tried.
    Settings = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::examples::PROGRAM;

    #[test]
    fn the_help_names_every_code() {
        for exit in [Exit::Ok, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::Settings] {
            assert!(PROGRAM.contains(&format!(" {} ", exit as u8)), "{exit:?}");
        }
    }
}
