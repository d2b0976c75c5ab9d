//! carrick-session
