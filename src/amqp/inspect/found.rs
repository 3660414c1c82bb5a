//! What an inspection finds.

/// One exchange or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `queue antispoof.jobs`, `exchange antispoof.results`.
    pub object: String,
    /// How it is.
    pub state: State,
}

/// How an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    AsItShould,
    /// Not there.
    Missing,
    /// There, with other arguments: those, at least one.
    Differs(Vec<Difference>),
    /// It is not known; the broker says why.
    Unknown(String),
}

/// An argument that is not as it should be. `none`: without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `x-delivery-limit`, `durable`, `type`, …
    pub argument: String,
    /// How it should be.
    pub wanted: String,
    /// How it is.
    pub found: String,
}
