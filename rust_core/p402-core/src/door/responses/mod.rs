//! Decides how clients of OpenAI's Responses API are served: the rooms of this door.
//! Does not keep responses: what asks for one that was kept is refused.

mod ask;
mod events;
mod item;
mod items;
mod response;
mod tools;

use super::listen::Told;
use super::{Entered, top};
use crate::dialect::Unsaid;

/// Tells a Responses request as a chat.
pub(super) fn enter(body: &[u8]) -> Result<Entered, Unsaid> {
    let top = top(body)?;
    let (body, dropped) = ask::chat(&top)?;
    let reply = events::Events::new(response::Echo::of(&top));
    Ok(Entered { body, dropped, reply: Some(Box::new(Told::new(reply))) })
}
