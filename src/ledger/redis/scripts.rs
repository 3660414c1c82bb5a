//! The steps as scripts. They use nothing younger than Redis 6: the same on 6, 7 and 8, and on Valkey.

use redis::Script;

/// The scripts, with their digests.
pub(super) struct Scripts {
    pub(super) begin: Script,
    pub(super) intent: Script,
    pub(super) conclude: Script,
    pub(super) forget: Script,
    pub(super) release: Script,
    pub(super) recall: Script,
    pub(super) unsent: Script,
    pub(super) today: Script,
    pub(super) ping: Script,
}

/// A script that begins with the record of its first key.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("record.lua"), include_str!($file)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            begin: script!("begin.lua"),
            intent: Script::new(concat!(
                include_str!("calls.lua"),
                include_str!("record.lua"),
                include_str!("intent.lua")
            )),
            conclude: script!("conclude.lua"),
            forget: script!("forget.lua"),
            release: script!("release.lua"),
            recall: script!("recall.lua"),
            unsent: Script::new(include_str!("unsent.lua")),
            today: Script::new(concat!(include_str!("calls.lua"), include_str!("today.lua"))),
            ping: Script::new("return 'here'"),
        }
    }
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripts")
    }
}
