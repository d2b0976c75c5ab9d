//! What the chores and the tidy test share: the source tree as text, and the house rules over it.

pub mod source;
pub mod tidy;
