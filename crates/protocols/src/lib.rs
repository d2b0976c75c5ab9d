//! carrick-protocols
