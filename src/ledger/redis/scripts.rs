//! The steps as scripts. They use nothing younger than Redis 6: the same on 6, 7 and 8, and on Valkey.

use redis::Script;

/// The scripts, with their digests.
pub(super) struct Scripts {
    pub(super) begin: Script,
    pub(super) intent: Script,
    pub(super) conclude: Script,
    pub(super) announced: Script,
    pub(super) release: Script,
    pub(super) recall: Script,
    pub(super) ping: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            begin: Script::new(include_str!("begin.lua")),
            intent: Script::new(include_str!("intent.lua")),
            conclude: Script::new(include_str!("conclude.lua")),
            announced: Script::new(include_str!("announced.lua")),
            release: Script::new(include_str!("release.lua")),
            recall: Script::new(include_str!("recall.lua")),
            ping: Script::new("return 'here'"),
        }
    }
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripts")
    }
}
