//! carrick-wire
