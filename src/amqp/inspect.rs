//! Exchanges and queues as they are, held against what they should be, with nothing changed.
//!
//! A passive declaration says whether an object is there and nothing about its arguments. An active one of an object that is there
//! changes nothing either: it is accepted where all agrees, and otherwise refused with the first argument that differs. So the object is declared as
//! it should be, then with that argument as it is, and so on until the broker agrees; what had to be given up is what differs. Bindings
//! cannot be asked for over AMQP.

mod declaration;
mod refusal;

use super::connect::Link;
use super::tool::ToolError;
use super::topology::Names;
use declaration::Declaration;
use lapin::{Error, ErrorKind};
use refusal::Inequivalent;

/// More than an object of ours has of arguments and flags.
const MOST_DIFFERENCES: usize = 16;

const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

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
    /// It cannot be told; the broker says why.
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

/// Looks at every exchange and queue of the topology, exchanges first. Fails when the connection does.
pub async fn inspect(link: &Link, names: &Names) -> Result<Vec<Found>, ToolError> {
    let mut found = Vec::new();
    for declaration in Declaration::all(names) {
        let object = declaration.object();
        let state = look(link, declaration).await;
        let state = state.map_err(|source| ToolError::Refused { what: format!("look at {object}"), source })?;
        found.push(Found { object, state });
    }
    Ok(found)
}

async fn look(link: &Link, mut declaration: Declaration) -> Result<State, Error> {
    match attempt(link, &declaration, true).await? {
        None => {}
        Some(refusal) if refusal.code == NOT_FOUND => return Ok(State::Missing),
        Some(refusal) => return Ok(State::Unknown(refusal.text)),
    }
    let mut differences: Vec<Difference> = Vec::new();
    while let Some(refusal) = attempt(link, &declaration, false).await? {
        let read = if refusal.code == PRECONDITION_FAILED { Inequivalent::read(&refusal.text) } else { None };
        let Some(unlike) = read else {
            // What is known to differ is worth more than why the rest is not known.
            if differences.is_empty() {
                return Ok(State::Unknown(refusal.text));
            }
            break;
        };
        let seen = differences.iter().any(|difference| difference.argument == unlike.argument);
        if seen || differences.len() == MOST_DIFFERENCES {
            break;
        }
        let adopted = declaration.adopt(&unlike);
        differences.push(unlike.into());
        if !adopted {
            break;
        }
    }
    Ok(if differences.is_empty() { State::AsItShould } else { State::Differs(differences) })
}

/// What the broker says no to an attempt with.
struct Refusal {
    code: u16,
    text: String,
}

/// Declares on a channel of its own, which a refusal closes.
async fn attempt(link: &Link, declaration: &Declaration, passive: bool) -> Result<Option<Refusal>, Error> {
    let channel = link.create_channel().await?;
    match declaration.declare(&channel, passive).await {
        Ok(()) => channel.close(200, "done".into()).await.map(|()| None),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(said) if link.status().connected() => {
                Ok(Some(Refusal { code: said.get_id(), text: said.get_message().to_string() }))
            }
            _ => Err(error),
        },
    }
}
