//! Compares exchanges and queues with what they should be, and changes nothing.
//!
//! A passive declaration says whether an object is there, and nothing about its arguments. An active one of an existing object changes
//! nothing either: it is accepted where every argument is the same, and otherwise refused with the first that differs. So the object is
//! declared as it should be, then with that argument as it is, and so on until the broker accepts; the arguments that had to be given
//! up are those that differ. Bindings cannot be read over AMQP.

mod declaration;
mod found;
mod refusal;

pub use found::{Difference, Found, State};

use super::connect::Link;
use super::reply::{NOT_FOUND, PRECONDITION_FAILED};
use super::tool::ToolError;
use super::topology::Names;
use declaration::Declaration;
use lapin::{Error, ErrorKind};
use refusal::Inequivalent;

/// More than an object of ours has of arguments and flags.
const MOST_DIFFERENCES: usize = 16;

/// Inspects every exchange and queue of the topology, exchanges first. Fails when the connection does.
pub async fn inspect(link: &Link, names: &Names) -> Result<Vec<Found>, ToolError> {
    let mut found = Vec::new();
    for declaration in Declaration::all(names) {
        let object = declaration.object();
        let state = state_of(link, declaration).await;
        let state = state.map_err(|source| ToolError::Refused { what: format!("look at {object}"), source })?;
        found.push(Found { object, state });
    }
    Ok(found)
}

async fn state_of(link: &Link, mut declaration: Declaration) -> Result<State, Error> {
    match attempt(link, &declaration, true).await? {
        None => {}
        Some(refusal) if refusal.code == NOT_FOUND => return Ok(State::Missing),
        Some(refusal) => return Ok(State::Unknown(refusal.text)),
    }
    let mut differences: Vec<Difference> = Vec::new();
    while let Some(refusal) = attempt(link, &declaration, false).await? {
        let read = if refusal.code == PRECONDITION_FAILED { Inequivalent::read(&refusal.text) } else { None };
        let Some(unlike) = read else {
            // The known differences matter more than why the rest is unknown.
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

/// The broker's answer to a declaration that it does not accept.
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
