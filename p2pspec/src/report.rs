//! Results, for people and for programs.

pub mod json;
pub mod junit;
pub mod text;
