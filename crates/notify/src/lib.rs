//! Tells people what was deployed.
//!
//! ```text
//!   engine ──Deployment──▶ QueuedNotifier ──one at a time──▶ SlackWebhook ──HTTPS──▶ Slack
//!                          never waits; drops the oldest      waits as long as it is asked to, and tries again
//! ```
//!
//! A message is sent for each outcome that the engine hands over. What a message says comes partly from outside (tags,
//! errors of the cluster), so all of it is made harmless first: see [`message`].

mod error;
pub mod message;
mod queue;
mod slack;
mod text;

pub use error::NotifyError;
pub use message::MessageOptions;
pub use queue::{QueueOptions, QueuedNotifier};
pub use slack::{SlackOptions, SlackWebhook};
