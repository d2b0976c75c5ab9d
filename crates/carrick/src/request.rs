//! Requests and their answers.

pub use self::error::RequestError;

mod error;
